use zip::CompressionMethod;

use super::fixture::{ArrayFixture, labels, npy, npz, npz_packed, open, pictures, safetensors, zip};
use crate::dataset::Dataset;
use crate::rejection::{Code, Rejection};

#[track_caller]
fn refuse_file(bytes: &[u8], words: &str) -> Rejection {
    let rejection = open(bytes).expect_err("the file must be refused");
    assert_eq!(rejection.code, Code::InvalidDataset, "{rejection:?}");
    assert!(rejection.detail.contains(words), "{rejection:?} does not say {words:?}");
    rejection.assert_sentences();
    rejection
}

#[track_caller]
fn refuse(arrays: &[ArrayFixture], words: &str) -> Rejection {
    refuse_file(&npz(arrays), words)
}

#[track_caller]
fn refuse_header(header: &str, words: &str) -> Rejection {
    refuse_file(&zip(&[("x.npy", &npy(header, &[0; 240]))], CompressionMethod::Stored), words)
}

#[test]
fn other_formats_are_called_by_their_name() {
    refuse_file(b"", "empty");
    refuse_file(b"hello", "neither");
    refuse_file(&pictures("x", 40).npy(), "a single NumPy array");
    refuse_file(b"\x80\x04\x95", "pickle");
    refuse_file(b"\x89HDF\r\n\x1a\n", "HDF5");
    refuse_file(b"\x1f\x8b\x08", "gzip");
    refuse_file(&zip(&[("net/data.pkl", b"")], CompressionMethod::Stored), "archive of PyTorch");
    refuse_file(&zip(&[("cat.png", b"")], CompressionMethod::Stored), "`cat.png`");
}

#[test]
fn a_file_that_cannot_be_read_is_refused_without_a_panic() {
    let folder = tempfile::tempdir().unwrap();
    for path in [folder.path().join("missing.npz"), folder.path().to_owned()] {
        assert_eq!(Dataset::open(&path).unwrap_err().code, Code::InvalidDataset);
    }
}

#[test]
fn a_missing_array_is_named() {
    refuse(&[labels("y", 40)], "The array `x` is missing");
    refuse(&[pictures("x_val", 40)], "The array `x` with the samples is missing");
    refuse(&[pictures("x", 40), labels("y_val", 3)], "The array `x_val` is missing");
    refuse(&[pictures("x", 40), labels("y", 40), pictures("x_val", 3)], "`x_val` has no labels");
    refuse(&[pictures("x", 40), pictures("x_val", 3), labels("y_val", 3)], "The array `y` is missing");
}

#[test]
fn an_unknown_array_is_refused_with_the_allowed_names() {
    let rejection = refuse(&[pictures("x", 40), pictures("extra", 40)], "`x`, `y`, `x_val`");
    assert_eq!(rejection.node.as_deref(), Some("extra"));
    let renamed = refuse(&[pictures("x_train", 40)], "`x_train` is unknown");
    assert_eq!(renamed.hint.as_deref(), Some("Rename it to `x`."));
}

#[test]
fn counts_and_shapes_that_do_not_fit_are_refused_with_both_numbers() {
    refuse(&[pictures("x", 100), labels("y", 99)], "`x` has 100 samples, but `y` has 99 labels");
    let other = ArrayFixture::u8("x_val", &[3, 1, 2, 2], &[0; 12]);
    refuse(&[pictures("x", 40), other], "One sample of `x_val` has shape [1, 2, 2], but one of `x` has [1, 2, 3]");
    let float = ArrayFixture::f32("x_val", &[3, 1, 2, 3], &[0.0; 18]);
    refuse(&[pictures("x", 40), float], "`x_val` is float32, but `x` is uint8");
}

#[test]
fn classes_that_are_negative_and_labels_that_are_no_number_are_named_with_their_index() {
    let mut negative: Vec<i64> = vec![0; 40];
    negative[5] = -1;
    let y = ArrayFixture::i64("y", &[40], &negative);
    assert!(refuse(&[pictures("x", 40), y], "`y` has the label -1 at index 5").hint.unwrap().contains("float32"));
    for (value, text) in [(f32::NAN, "NaN"), (f32::INFINITY, "inf")] {
        let mut values = vec![1.0; 40];
        values[39] = value;
        let y = ArrayFixture::f32("y", &[40], &values);
        refuse(&[pictures("x", 40), y], &format!("`y` has the value {text} at index 39"));
    }
}

#[test]
fn inputs_that_do_not_belong_together_are_named() {
    refuse(&[pictures("x", 40), pictures("x0", 40)], "The array `x0` is out of place");
    refuse(&[pictures("x0", 40), pictures("x2", 40)], "The array `x2` is out of place");
    refuse(&[pictures("x", 40), pictures("x.mask", 40)], "The array `x.mask` is out of place");
    refuse(&[pictures("x.", 40)], "The array `x.` is unknown");
    refuse(&[pictures("x.a_val", 40)], "The array `x` with the samples is missing");
    let other_split = [pictures("x.a", 40), pictures("x.b", 40), pictures("x.a_val", 3), pictures("x.ab_val", 3)];
    refuse(&other_split, "`x.ab_val` is in the place of `x.b`");
    refuse(&[pictures("x0", 40), pictures("x1", 39)], "`x0` has 40 samples, but `x1` has 39");
    refuse(&[pictures("x0", 40), pictures("x1", 40), pictures("x0_val", 3)], "`x0_val` is one of 1 inputs");
    let labels = [ArrayFixture::u8("y", &[40, 2], &[0; 80]), ArrayFixture::u8("y_val", &[3, 3], &[0; 9])];
    let [y, y_val] = labels;
    refuse(&[pictures("x", 40), y, pictures("x_val", 3), y_val], "shape [3], but of `y` it has [2]");
}

#[test]
fn values_that_are_not_finite_are_named_with_their_index() {
    for (value, text) in [(f32::NAN, "NaN"), (f32::NEG_INFINITY, "-inf")] {
        let mut values = vec![0.0; 240];
        values[6 * 7 + 4] = value;
        values[239] = f32::NAN;
        let x = ArrayFixture::f32("x", &[40, 1, 2, 3], &values);
        let words = format!("`x` has the value {text} at index [7, 0, 1, 1]");
        refuse(std::slice::from_ref(&x), &words);
        refuse_file(&safetensors(&[x]), &words);
    }
    let mut wide = vec![0.0; 40];
    wide[3] = 1e300;
    refuse(&[ArrayFixture::f64("x", &[40, 1], &wide)], "at index [3, 0] (float64)");
}

#[test]
fn a_value_far_into_a_large_array_is_found_at_its_index() {
    let mut values = vec![0.0; 300_000];
    values[299_998] = f32::NAN;
    refuse(&[ArrayFixture::f32("x", &[1000, 300], &values)], "at index [999, 298]");
}

#[test]
fn empty_arrays_and_too_few_samples_are_refused() {
    refuse(&[ArrayFixture::u8("x", &[0, 3], &[])], "is empty");
    refuse(&[ArrayFixture::u8("x", &[], &[1])], "single number");
    refuse(&[ArrayFixture::u8("x", &[40], &[0; 40])], "one number for each sample");
    refuse(&[pictures("x", 24)], "at least 25 are needed");
    open(&npz(&[pictures("x", 25)])).unwrap();
    refuse(&[pictures("x", 40), pictures("x_val", 2)], "`x_val` has 2 samples; at least 3");
}

#[test]
fn objects_text_fortran_order_and_big_endian_are_refused_with_what_to_do() {
    let header =
        |descr: &str, fortran: &str| format!("{{'descr': {descr}, 'fortran_order': {fortran}, 'shape': (40, 6), }}");
    assert!(refuse_header(&header("'|O'", "False"), "Python objects").hint.is_some());
    assert!(refuse_header(&header("'|u1'", "True"), "Fortran order").hint.unwrap().contains("ascontiguousarray"));
    assert!(refuse_header(&header("'>f4'", "False"), "big-endian").hint.unwrap().contains("newbyteorder"));
    refuse_header(&header("[('a', '<f4')]", "False"), "structured");
    refuse_header(&header("'<U3'", "False"), "numbers are needed");
    refuse_header(&header("'<c8'", "False"), "numbers are needed");
}

#[test]
fn a_damaged_npy_header_is_refused() {
    for header in [
        "",
        "{}",
        "{'descr': '|u1', 'fortran_order': False}",
        "{'descr': '|u1', 'fortran_order': False, 'shape': (40, 6), 'shape': (40, 6)}",
        "{'descr': '|u1', 'fortran_order': False, 'shape': (40, 6), 'more': 1}",
        "{'descr': '|u1', 'fortran_order': False, 'shape': (40, 6)} more",
        "{'descr': '|u1', 'fortran_order': False, 'shape': (40, -6)}",
        "{'descr': '|u1', 'fortran_order': False, 'shape': (40 6)}",
        "{'descr': '|u1', 'fortran_order': False, 'shape': (99999999999999999999999, 6)}",
        "{'descr': '|u1' 'fortran_order': False, 'shape': (40, 6)}",
        "{'descr': '|u1', 'fortran_order': __import__('os'), 'shape': (40, 6)}",
    ] {
        refuse_header(header, "damaged `.npy` header");
    }
    let mut wrong_version = pictures("x", 40).npy();
    wrong_version[6] = 9;
    refuse_file(&zip(&[("x.npy", &wrong_version)], CompressionMethod::Stored), "version 9.0");
    refuse_file(&zip(&[("x.npy", b"nothing, really")], CompressionMethod::Stored), "not an `.npy` file");
}

#[test]
fn a_shape_that_is_not_what_the_bytes_hold_is_refused() {
    refuse_header("{'descr': '|u1', 'fortran_order': False, 'shape': (40, 7)}", "[40, 7]");
    refuse_header(
        "{'descr': '<f8', 'fortran_order': False, 'shape': (4611686018427387904, 4)}",
        "is not what its shape",
    );
}

#[test]
fn a_compressed_array_that_unpacks_to_far_more_is_refused_before_it_is_unpacked() {
    let zeros = ArrayFixture::u8("x", &[100, 1_000_000], &vec![0; 100_000_000]);
    let rejection = refuse_file(&npz_packed(&[zeros], CompressionMethod::Deflated), "at most 100 times");
    assert!(rejection.hint.unwrap().contains("np.savez"));
}

#[test]
fn a_changed_byte_in_a_member_is_found_by_its_checksum() {
    let mut bytes = npz(&[pictures("x", 40)]);
    // Behind the local header and the `.npy` header.
    bytes[250] ^= 1;
    refuse_file(&bytes, "checksum");
}

#[test]
fn a_safetensors_header_that_does_not_fit_the_file_is_refused() {
    let mut longer = safetensors(&[pictures("x", 40)]);
    longer.push(0);
    refuse_file(&longer, "but there are 241");
    let mut huge = safetensors(&[pictures("x", 40)]);
    huge[..8].copy_from_slice(&u64::MAX.to_le_bytes());
    refuse_file(&huge, "its header has 18446744073709551615 bytes");
}

#[test]
fn names_and_types_that_nobody_sees_are_written_out() {
    let hidden = "x\u{202e}\u{1b}[2J";
    for bytes in [npz(&[pictures(hidden, 40)]), safetensors(&[pictures(hidden, 40)])] {
        refuse_file(&bytes, "\\u202e\\u001b[2J");
    }
    let long = "x".repeat(5000);
    let rejection = refuse_file(&safetensors(&[pictures(&long, 40)]), "5000 bytes");
    assert!(rejection.detail.len() < 500 && rejection.node.is_none(), "{rejection:?}");
    let header = format!("{{'descr': '<\u{202e}{long}', 'fortran_order': False, 'shape': (40,), }}");
    let rejection = refuse_header(&header, "<\\u202ex");
    assert!(rejection.detail.len() < 500, "{rejection:?}");
}
