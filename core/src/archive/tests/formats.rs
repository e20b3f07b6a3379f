use super::super::fixture::{ArchiveFixture, PickleWriter, RawEntry, zip};
use super::super::preflight;
use super::assert_refused;
use crate::rejection::Code;

fn refuse(bytes: &[u8], words: &str) {
    let rejection = assert_refused(bytes, Code::NotTorchscript, words);
    assert!(rejection.hint.is_some(), "{rejection:?}");
}

fn zip_of(names: &[&str]) -> Vec<u8> {
    let entries: Vec<_> = names.iter().map(|name| RawEntry::new(name, b"")).collect();
    zip(&entries)
}

#[test]
fn files_that_are_no_zip_are_called_by_their_name() {
    refuse(b"", "empty");
    refuse(b"hello", "not a zip");
    refuse(b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19\x2e\x80\x02", "old `torch.save`");
    refuse(b"\x80\x04\x95\x00", "bare pickle");
    refuse(b"(\x00\x00\x00PTMF\x00\x00", "lite interpreter");
    refuse(b"(\x00\x00\x00ET12\x00\x00", "ExecuTorch");
    refuse(b"\x1c\x00\x00\x00TFL3", "TensorFlow Lite");
    refuse(b"\x02\x00\x00\x00\x00\x00\x00\x00{}\n", "safetensors");
    refuse(b"\x08\x09\x12\x07pytorch", "ONNX");
    refuse(b"\x89HDF\r\n\x1a\n", "HDF5");
    refuse(b"\x93NUMPY\x01\x00", "NumPy");
    refuse(b"\x1f\x8b\x08", "gzip");
    refuse(b"PK\x05\x06\x00\x00", "empty zip");
}

#[test]
fn zips_of_other_programs_are_called_by_their_name() {
    refuse(&zip_of(&["x.npy", "y.npy"]), "data set");
    refuse(&zip_of(&["net/models/model.json", "net/archive_format"]), "torch.export");
    refuse(&zip_of(&["serialized_exported_program.json"]), "torch.export");
    refuse(&zip_of(&["net/model.json", "net/tensors/0"]), "PyTorch 1.3 or older");
    refuse(&zip_of(&["MAR-INF/MANIFEST.json", "model.pt"]), "TorchServe");
    refuse(&zip_of(&["config.json", "model.weights.h5"]), "Keras");
    refuse(&zip_of(&["model.pt"]), "zip around `model.pt`");
    refuse(&zip_of(&["net/a.txt"]), "without the record `data.pkl`");
}

#[test]
fn what_torch_save_wrote_is_told_apart() {
    let eager = |pickle: PickleWriter| {
        ArchiveFixture::network().without("code/__torch__.py").with("data.pkl", &pickle.end()).bytes()
    };
    refuse(&eager(PickleWriter::new().global("collections", "OrderedDict").op(b")R")), "`state_dict`");
    refuse(&eager(PickleWriter::new().op(b"}q\x00")), "checkpoint");
    refuse(&eager(PickleWriter::new().global("torch._utils", "_rebuild_tensor_v2")), "a tensor");
    refuse(&eager(PickleWriter::new().global("models.mine", "Net")), "`models.mine.Net`");
    refuse(&eager(PickleWriter::new().op(b"]")), "holds no code");
}

#[test]
fn a_file_that_cannot_be_read_is_refused_without_a_panic() {
    let folder = tempfile::tempdir().unwrap();
    for path in [folder.path().join("missing.pt"), folder.path().to_owned()] {
        assert_eq!(preflight(&path).unwrap_err().code, Code::DamagedArchive);
    }
}
