//! Data set files written by the tests.

use std::io::{Cursor, Write};
use std::path::PathBuf;

use safetensors::Dtype;
use safetensors::tensor::TensorView;
use tempfile::TempDir;
use zip::CompressionMethod;
use zip::write::{SimpleFileOptions, ZipWriter};

use crate::dataset::Dataset;
use crate::rejection::Rejection;

/// An array with the type code of NumPy.
#[derive(Debug, Clone)]
pub(super) struct ArrayFixture {
    pub name: String,
    pub descr: &'static str,
    pub shape: Vec<usize>,
    pub bytes: Vec<u8>,
}

impl ArrayFixture {
    fn new(name: &str, descr: &'static str, shape: &[usize], bytes: Vec<u8>) -> Self {
        Self { name: name.to_owned(), descr, shape: shape.to_vec(), bytes }
    }

    pub(super) fn u8(name: &str, shape: &[usize], values: &[u8]) -> Self {
        Self::new(name, "|u1", shape, values.to_vec())
    }

    pub(super) fn f32(name: &str, shape: &[usize], values: &[f32]) -> Self {
        Self::new(name, "<f4", shape, values.iter().flat_map(|value| value.to_le_bytes()).collect())
    }

    pub(super) fn f64(name: &str, shape: &[usize], values: &[f64]) -> Self {
        Self::new(name, "<f8", shape, values.iter().flat_map(|value| value.to_le_bytes()).collect())
    }

    pub(super) fn f16(name: &str, shape: &[usize], values: &[f32]) -> Self {
        let bytes = values.iter().flat_map(|&value| half::f16::from_f32(value).to_le_bytes()).collect();
        Self::new(name, "<f2", shape, bytes)
    }

    pub(super) fn i64(name: &str, shape: &[usize], values: &[i64]) -> Self {
        Self::new(name, "<i8", shape, values.iter().flat_map(|value| value.to_le_bytes()).collect())
    }

    pub(super) fn i32(name: &str, shape: &[usize], values: &[i32]) -> Self {
        Self::new(name, "<i4", shape, values.iter().flat_map(|value| value.to_le_bytes()).collect())
    }

    pub(super) fn npy(&self) -> Vec<u8> {
        let sizes: String = self.shape.iter().map(|size| format!("{size}, ")).collect();
        npy(&format!("{{'descr': '{}', 'fortran_order': False, 'shape': ({sizes}), }}", self.descr), &self.bytes)
    }
}

/// `count` grey pictures of 2 × 3 bytes: picture `i` holds `i` everywhere.
pub(super) fn pictures(name: &str, count: usize) -> ArrayFixture {
    let values: Vec<u8> = (0..count * 6).map(|position| (position / 6) as u8).collect();
    ArrayFixture::u8(name, &[count, 1, 2, 3], &values)
}

/// The label of sample `i` is `i`.
pub(super) fn labels(name: &str, count: usize) -> ArrayFixture {
    ArrayFixture::i64(name, &[count], &(0..count as i64).collect::<Vec<_>>())
}

/// An `.npy` file of version 1 with any header.
pub(super) fn npy(header: &str, data: &[u8]) -> Vec<u8> {
    let header = format!("{header:<117}\n");
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend((header.len() as u16).to_le_bytes());
    bytes.extend(header.as_bytes());
    bytes.extend(data);
    bytes
}

pub(super) fn zip(entries: &[(&str, &[u8])], method: CompressionMethod) -> Vec<u8> {
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, bytes) in entries {
        let options = SimpleFileOptions::default().compression_method(method);
        writer.start_file(*name, options).expect("writing to memory does not fail");
        writer.write_all(bytes).expect("writing to memory does not fail");
    }
    writer.finish().expect("writing to memory does not fail").into_inner()
}

pub(super) fn npz(arrays: &[ArrayFixture]) -> Vec<u8> {
    npz_packed(arrays, CompressionMethod::Stored)
}

pub(super) fn npz_packed(arrays: &[ArrayFixture], method: CompressionMethod) -> Vec<u8> {
    let members: Vec<_> = arrays.iter().map(|array| (format!("{}.npy", array.name), array.npy())).collect();
    let entries: Vec<_> = members.iter().map(|(name, bytes)| (name.as_str(), bytes.as_slice())).collect();
    zip(&entries, method)
}

pub(super) fn safetensors(arrays: &[ArrayFixture]) -> Vec<u8> {
    let views = arrays.iter().map(|array| {
        let dtype = match array.descr {
            "|u1" => Dtype::U8,
            "<f2" => Dtype::F16,
            "<f4" => Dtype::F32,
            "<f8" => Dtype::F64,
            "<i4" => Dtype::I32,
            "<i8" => Dtype::I64,
            other => panic!("the fixture has no {other}"),
        };
        let view = TensorView::new(dtype, array.shape.clone(), &array.bytes).expect("the fixture is consistent");
        (array.name.as_str(), view)
    });
    safetensors::serialize(views, None).expect("the fixture is consistent")
}

/// A file in a folder that lives as long as this.
pub(super) struct FileFixture {
    folder: TempDir,
}

impl FileFixture {
    pub(super) fn new(bytes: &[u8]) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        std::fs::write(folder.path().join("data"), bytes).expect("a temporary file can be written");
        Self { folder }
    }

    pub(super) fn path(&self) -> PathBuf {
        self.folder.path().join("data")
    }
}

pub(super) fn open(bytes: &[u8]) -> Result<Dataset, Rejection> {
    Dataset::open(&FileFixture::new(bytes).path())
}
