//! Uploads that are not TorchScript, recognised by their content and answered with what to do in Python.

use crate::plain_text::quoted;
use crate::rejection::{Code, Rejection};
use crate::untrusted::zip::Directory;

/// Bytes of the file that are enough to recognise it.
pub(super) const HEAD: u64 = 512;

const SAVE_HINT: &str = "Save the model in Python with `torch.jit.script(model).save(\"model.pt\")` \
                         or `torch.jit.trace(model.eval(), example).save(\"model.pt\")`.";

/// The start of files that `torch.save` wrote before PyTorch 1.6: a pickled magic number.
const LEGACY_TORCH_SAVE: &[u8] = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19\x2e";

fn not_torchscript(what: &str) -> Rejection {
    Rejection::new(
        Code::NotTorchscript,
        format!("The file is {what}; a TorchScript archive, as `torch.jit.save` writes it, is needed."),
    )
    .hint(SAVE_HINT)
}

/// Refuses a file that does not start as a zip; `head` is its first [`HEAD`] bytes, `length` all of them.
pub(super) fn check_head(head: &[u8], length: u64) -> Result<(), Rejection> {
    if head.starts_with(b"PK\x03\x04") {
        return Ok(());
    }
    let behind_four = head.get(4..8).unwrap_or_default();
    if head.is_empty() {
        return Err(not_torchscript("empty"));
    }
    if head.starts_with(b"PK\x05\x06") {
        return Err(not_torchscript("an empty zip"));
    }
    if head.starts_with(LEGACY_TORCH_SAVE) {
        return Err(not_torchscript("a pickle of the old `torch.save`, which holds no code"));
    }
    if head.len() >= 2 && head[0] == 0x80 && (2..=5).contains(&head[1]) {
        return Err(not_torchscript("a bare pickle"));
    }
    if behind_four == b"PTMF" {
        return Err(not_torchscript("a flatbuffer of the lite interpreter (`.ptl`)"));
    }
    if behind_four.starts_with(b"ET") {
        return Err(not_torchscript("an ExecuTorch program (`.pte`)"));
    }
    if behind_four == b"TFL3" {
        return Err(not_torchscript("a TensorFlow Lite model"));
    }
    if is_safetensors(head, length) {
        return Err(not_torchscript("a safetensors file, which holds weights without a network"));
    }
    for (magic, what) in [
        (&b"\x89HDF\r\n\x1a\n"[..], "an HDF5 file (Keras)"),
        (b"GGUF", "a GGUF file"),
        (b"\x93NUMPY", "a NumPy array"),
        (b"\x1f\x8b", "packed with gzip"),
        (b"7z\xbc\xaf\x27\x1c", "packed with 7-Zip"),
        (b"\xfd7zXZ", "packed with xz"),
        (b"BZh", "packed with bzip2"),
        (b"\x28\xb5\x2f\xfd", "packed with zstd"),
    ] {
        if head.starts_with(magic) {
            return Err(not_torchscript(what));
        }
    }
    if head.get(257..262) == Some(b"ustar") {
        return Err(not_torchscript("a tar archive"));
    }
    if is_onnx(head) {
        return Err(not_torchscript("an ONNX model"));
    }
    Err(not_torchscript("not a zip"))
}

fn is_safetensors(head: &[u8], length: u64) -> bool {
    match head.first_chunk::<8>() {
        Some(header_length) => u64::from_le_bytes(*header_length) < length && head.get(8) == Some(&b'{'),
        None => false,
    }
}

/// `ir_version` as the first field of the protobuf, then one of the next fields of `ModelProto`.
fn is_onnx(head: &[u8]) -> bool {
    matches!(head, [0x08, 1..=30, 0x12 | 0x1a | 0x22 | 0x2a | 0x32 | 0x3a | 0x42, ..])
}

/// Refuses a zip that is recognised as something else by the names in it.
pub(super) fn check_names(directory: &Directory) -> Result<(), Rejection> {
    let names = || directory.entries().map(|entry| entry.name);
    let has = |name: &str| names().any(|full| full.split_once('/').map_or(full, |(_, below)| below) == name);
    let ends_with = |end: &str| names().any(|name| name.ends_with(end));

    if directory.len() == 0 {
        return Err(not_torchscript("an empty zip"));
    }
    if has("models/model.json") || has("serialized_exported_program.json") || has("archive_format") {
        return Err(not_torchscript("a `torch.export` archive (`.pt2`), which is not supported yet"));
    }
    if has("model.json") {
        return Err(not_torchscript("a TorchScript archive of PyTorch 1.3 or older")
            .hint("Load it with `torch.jit.load` and save it again with a current PyTorch."));
    }
    if has("data.pkl") {
        return Ok(());
    }
    if names().all(|name| name.ends_with(".npy")) {
        return Err(
            not_torchscript("a data set (`.npz`)").hint("Upload it as the data set, and the model as the model.")
        );
    }
    if ends_with("MAR-INF/MANIFEST.json") {
        return Err(not_torchscript("a TorchServe archive (`.mar`)").hint("Unzip it and upload the `.pt` file in it."));
    }
    if has("model.weights.h5") {
        return Err(not_torchscript("a Keras model"));
    }
    if let Some(inner) = names().find(|name| [".pt", ".pth", ".jit", ".ts"].iter().any(|end| name.ends_with(end))) {
        return Err(
            not_torchscript(&format!("a zip around {}", quoted(inner))).hint("Unzip it and upload the file in it.")
        );
    }
    Err(not_torchscript("a zip without the record `data.pkl`"))
}

/// Why an archive with `data.pkl` but without `code/` is not TorchScript, from the start of that pickle.
pub(super) fn without_code(data_pickle: &[u8]) -> Rejection {
    let body = data_pickle.get(2..).unwrap_or_default();
    let state_dict_hint = "Load the weights into their network with `model.load_state_dict(torch.load(…))`, \
                           then save both with `torch.jit.script(model).save(\"model.pt\")`.";
    if body.starts_with(b"ccollections\nOrderedDict\n") {
        return not_torchscript("a `state_dict` written by `torch.save`").hint(state_dict_hint);
    }
    if body.starts_with(b"}") {
        return not_torchscript("a dictionary (a checkpoint or `state_dict`) written by `torch.save`")
            .hint(state_dict_hint);
    }
    if body.starts_with(b"ctorch._utils\n") {
        return not_torchscript("a tensor written by `torch.save`");
    }
    match pickled_class(body) {
        Some(class) => not_torchscript(&format!(
            "a whole Python object of class `{class}` written by `torch.save(model)`, which holds no code"
        ))
        .hint("Load it with `torch.load(…, weights_only=False)`, then save it with `torch.jit.script(model).save(\"model.pt\")`."),
        None => not_torchscript("an archive written by `torch.save`, which holds no code"),
    }
}

/// `module.Class` when the pickle starts with one.
fn pickled_class(body: &[u8]) -> Option<String> {
    let mut lines = body.strip_prefix(b"c")?.splitn(3, |&byte| byte == b'\n');
    let (module, class) = (lines.next()?, lines.next()?);
    lines.next()?;
    let printable = |name: &[u8]| name.len() <= 200 && name.iter().all(u8::is_ascii_graphic);
    (printable(module) && printable(class))
        .then(|| format!("{}.{}", String::from_utf8_lossy(module), String::from_utf8_lossy(class)))
}
