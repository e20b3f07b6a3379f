//! Archives written by the tests: a zip writer that can lie, a pickle writer, and a small network made with both.

use std::io::Read;

/// An entry of a zip as the test wants it, right or wrong.
#[derive(Debug, Clone)]
pub(super) struct RawEntry {
    pub name: Vec<u8>,
    pub data: Vec<u8>,
    pub method: u16,
    pub flags: u16,
    pub attributes: u32,
    /// The size in both headers, when it is not the truth.
    pub declared_size: Option<u32>,
    /// The name in the local header, when it is another.
    pub local_name: Option<Vec<u8>>,
    /// The position of the local header in the directory, when it is another.
    pub offset: Option<u32>,
    /// The checksum in both headers, when it is not the right one.
    pub crc32: Option<u32>,
    /// Bytes behind the data that belong to nothing.
    pub padding: usize,
}

impl RawEntry {
    pub(super) fn new(name: &str, data: &[u8]) -> Self {
        Self {
            name: name.as_bytes().to_vec(),
            data: data.to_vec(),
            method: 0,
            flags: 0,
            attributes: 0,
            declared_size: None,
            local_name: None,
            offset: None,
            crc32: None,
            padding: 0,
        }
    }

    /// Of what the data becomes when it is unpacked.
    fn right_crc32(&self) -> u32 {
        let mut unpacked = flate2::CrcReader::new(match self.method {
            8 => Box::new(flate2::read::DeflateDecoder::new(self.data.as_slice())) as Box<dyn Read>,
            _ => Box::new(self.data.as_slice()),
        });
        // Data that does not unpack has no checksum.
        let _ = std::io::copy(&mut unpacked, &mut std::io::sink());
        unpacked.crc().sum()
    }
}

pub(super) fn zip(entries: &[RawEntry]) -> Vec<u8> {
    let mut file = Vec::new();
    let mut directory = Vec::new();
    for entry in entries {
        let offset = entry.offset.unwrap_or(file.len() as u32);
        let packed_size = entry.data.len() as u32;
        let size = entry.declared_size.unwrap_or(packed_size);
        let crc32 = entry.crc32.unwrap_or_else(|| entry.right_crc32());
        let header = |out: &mut Vec<u8>, name: &[u8]| {
            out.extend(entry.flags.to_le_bytes());
            out.extend(entry.method.to_le_bytes());
            out.extend([0; 4]);
            out.extend(crc32.to_le_bytes());
            out.extend(packed_size.to_le_bytes());
            out.extend(size.to_le_bytes());
            out.extend((name.len() as u16).to_le_bytes());
            out.extend([0; 2]);
        };
        let local_name = entry.local_name.as_ref().unwrap_or(&entry.name);
        file.extend(b"PK\x03\x04\x14\x00");
        header(&mut file, local_name);
        file.extend(local_name);
        file.extend(&entry.data);
        file.extend(vec![0; entry.padding]);

        directory.extend(b"PK\x01\x02\x14\x03\x14\x00");
        header(&mut directory, &entry.name);
        directory.extend([0; 6]);
        directory.extend(entry.attributes.to_le_bytes());
        directory.extend(offset.to_le_bytes());
        directory.extend(&entry.name);
    }
    let start = file.len() as u32;
    file.extend(&directory);
    file.extend(b"PK\x05\x06\x00\x00\x00\x00");
    file.extend((entries.len() as u16).to_le_bytes());
    file.extend((entries.len() as u16).to_le_bytes());
    file.extend((directory.len() as u32).to_le_bytes());
    file.extend(start.to_le_bytes());
    file.extend([0; 2]);
    file
}

/// A pickle of protocol 2, written opcode by opcode.
#[derive(Debug, Clone)]
pub(super) struct PickleWriter(pub Vec<u8>);

impl PickleWriter {
    pub(super) fn new() -> Self {
        Self(b"\x80\x02".to_vec())
    }

    pub(super) fn op(mut self, bytes: &[u8]) -> Self {
        self.0.extend(bytes);
        self
    }

    pub(super) fn global(self, module: &str, name: &str) -> Self {
        self.op(format!("c{module}\n{name}\n").as_bytes())
    }

    pub(super) fn text(self, text: &str) -> Self {
        self.op(b"X").op(&(text.len() as u32).to_le_bytes()).op(text.as_bytes())
    }

    pub(super) fn integer(self, value: i64) -> Self {
        self.op(b"\x8a\x08").op(&value.to_le_bytes())
    }

    pub(super) fn integers(self, values: &[i64]) -> Self {
        values.iter().fold(self.op(b"("), |writer, &value| writer.integer(value)).op(b"t")
    }

    pub(super) fn tensor(self, tensor: &TensorFixture) -> Self {
        self.global("torch._utils", "_rebuild_tensor_v2")
            .op(b"((")
            .text("storage")
            .global("torch", tensor.storage_type)
            .text(tensor.key)
            .text(tensor.device)
            .integer(tensor.elements)
            .op(b"tQ")
            .integer(tensor.offset)
            .integers(&tensor.sizes)
            .integers(&tensor.strides)
            .op(b"\x89")
            .global("collections", "OrderedDict")
            .op(b")RtR")
    }

    pub(super) fn end(self) -> Vec<u8> {
        self.op(b".").0
    }
}

/// A tensor as a pickle describes it.
#[derive(Debug, Clone)]
pub(super) struct TensorFixture {
    pub storage_type: &'static str,
    pub key: &'static str,
    pub device: &'static str,
    pub elements: i64,
    pub offset: i64,
    pub sizes: Vec<i64>,
    pub strides: Vec<i64>,
}

impl TensorFixture {
    /// The weight of the fixture network, 2 × 3 float32 in the record `data/0`.
    pub(super) fn weight() -> Self {
        Self {
            storage_type: "FloatStorage",
            key: "0",
            device: "cpu",
            elements: 6,
            offset: 0,
            sizes: vec![2, 3],
            strides: vec![3, 1],
        }
    }
}

pub(super) const SOURCE: &str = "class Net(Module):
  __parameters__ = [\"weight\", ]
  __buffers__ = []
  weight : Tensor
  training : bool
  def forward(self: __torch__.Net,
    x: Tensor) -> Tensor:
    weight = self.weight
    if torch.ne(torch.dim(x), 2):
      ops.prim.RaiseException(\"expected {}D, not \\\"ops.custom\\\"\", \"builtins.ValueError\")
    else:
      pass
    return torch.mul(torch.linear(x, weight, None), 1.0000000000000001e-05)
";

/// The records of a network with one weight, below the root `net`, in the order in which PyTorch writes them.
#[derive(Debug, Clone)]
pub(super) struct ArchiveFixture(pub Vec<RawEntry>);

impl ArchiveFixture {
    pub(super) fn network() -> Self {
        Self::with_weight(&TensorFixture::weight())
    }

    /// The network with another description of its weight; `data/0` stays 24 bytes.
    pub(super) fn with_weight(weight: &TensorFixture) -> Self {
        Self::with_module(PickleWriter::new().text("weight").tensor(weight).text("training").op(b"\x89"))
    }

    /// The network with other attributes: `attributes` writes keys and values.
    pub(super) fn with_module(attributes: PickleWriter) -> Self {
        let data = PickleWriter::new().global("__torch__", "Net").op(b")\x81}(").op(&attributes.0[2..]).op(b"ub").end();
        let record = |name: &str, data: &[u8]| RawEntry::new(&format!("net/{name}"), data);
        Self(vec![
            record("data/0", &[0; 24]),
            record("data.pkl", &data),
            record("code/__torch__.py", SOURCE.as_bytes()),
            record("constants.pkl", &PickleWriter::new().op(b")").end()),
            record("version", b"3\n"),
            record("byteorder", b"little"),
        ])
    }

    /// Replaces or adds a record below the root.
    pub(super) fn with(mut self, name: &str, data: &[u8]) -> Self {
        let full_name = format!("net/{name}");
        match self.0.iter_mut().find(|entry| entry.name == full_name.as_bytes()) {
            Some(entry) => entry.data = data.to_vec(),
            None => self.0.push(RawEntry::new(&full_name, data)),
        }
        self
    }

    /// Changes the entry of a record.
    pub(super) fn changing(mut self, name: &str, change: impl FnOnce(&mut RawEntry)) -> Self {
        let full_name = format!("net/{name}");
        let entry = self.0.iter_mut().find(|entry| entry.name == full_name.as_bytes());
        change(entry.expect("the fixture has this record"));
        self
    }

    pub(super) fn without(mut self, name: &str) -> Self {
        let full_name = format!("net/{name}");
        self.0.retain(|entry| entry.name != full_name.as_bytes());
        self
    }

    pub(super) fn adding(mut self, entry: RawEntry) -> Self {
        self.0.push(entry);
        self
    }

    /// The network with `extra` behind its source text.
    pub(super) fn with_source(self, extra: &str) -> Self {
        self.with("code/__torch__.py", format!("{SOURCE}{extra}").as_bytes())
    }

    pub(super) fn bytes(&self) -> Vec<u8> {
        zip(&self.0)
    }
}
