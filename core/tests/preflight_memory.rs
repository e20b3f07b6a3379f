//! A pre-flight holds less than 64 MB, whatever the file says: the peak of the heap over the worst files of each kind.
//!
//! One test in a binary of its own, since the allocator counts for the whole process. What it counts is pessimistic: a
//! block that grows is held twice for a moment.

mod memory;

use std::fs::File;
use std::io::{BufReader, BufWriter, Write};
use std::path::Path;

use secateur_core::archive;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

const MOST: usize = 64_000_000;

/// A module whose attributes `attributes` writes, keys and values.
fn module(attributes: &[u8]) -> Vec<u8> {
    [b"\x80\x02c__torch__\nNet\n)\x81}(", attributes, b"ub."].concat()
}

fn text(text: &str) -> Vec<u8> {
    [b"X", &(text.len() as u32).to_le_bytes()[..], text.as_bytes()].concat()
}

/// `X` memoised, again and again, as the value of an attribute.
fn memo_flood(entries: u32) -> Vec<u8> {
    let mut attributes = [text("flood"), b"N".to_vec()].concat();
    for index in 0..entries {
        attributes.push(b'r');
        attributes.extend(index.to_le_bytes());
    }
    attributes
}

fn text_flood(bytes: usize, length: usize) -> Vec<u8> {
    let one = text(&"t".repeat(length));
    [text("texts"), b"](".to_vec(), one.repeat(bytes / length), b"e".to_vec()].concat()
}

/// The number, as the loader takes it.
fn tensor(key: usize) -> Vec<u8> {
    [
        b"ctorch._utils\n_rebuild_tensor_v2\n((".to_vec(),
        text("storage"),
        b"ctorch\nFloatStorage\n".to_vec(),
        text(&key.to_string()),
        text("cpu"),
        b"K\x01tQK\x00(K\x01t(K\x01t\x89ccollections\nOrderedDict\n)RtR".to_vec(),
    ]
    .concat()
}

const SOURCE: &[u8] = b"class Net(Module):
  __parameters__ = []
  __buffers__ = []
  training : bool
  def forward(self: __torch__.Net,
    x: Tensor) -> Tensor:
    return torch.relu(x)
";

struct Upload {
    zip: ZipWriter<BufWriter<File>>,
}

impl Upload {
    /// An archive that is whole but for what `data.pkl` says.
    fn new(path: &Path, data: &[u8]) -> Self {
        Self::with_source(path, data, SOURCE)
    }

    fn with_source(path: &Path, data: &[u8], source: &[u8]) -> Self {
        let mut upload = Self { zip: ZipWriter::new(BufWriter::new(File::create(path).unwrap())) };
        upload.add("data.pkl", data);
        upload.add("code/__torch__.py", source);
        upload.add("constants.pkl", b"\x80\x02).");
        upload.add("version", b"3\n");
        upload
    }

    fn add(&mut self, name: &str, data: &[u8]) {
        self.add_packed(name, data, CompressionMethod::Stored);
    }

    fn add_packed(&mut self, name: &str, data: &[u8], method: CompressionMethod) {
        let options = SimpleFileOptions::default().compression_method(method);
        self.zip.start_file(format!("net/{name}"), options).unwrap();
        self.zip.write_all(data).unwrap();
    }

    fn finish(self) {
        self.zip.finish().unwrap().flush().unwrap();
    }
}

/// The most that was held during a pre-flight, and what it said.
fn peak_of_preflight(path: &Path) -> (usize, String) {
    let mut file = BufReader::with_capacity(1, File::open(path).unwrap());
    let (result, peak) = memory::peak_of(|| archive::preflight_reader(&mut file));
    let verdict = match result {
        Ok(summary) => format!("passes with {} tensors", summary.tensors),
        Err(rejection) => rejection.detail.chars().take(100).collect(),
    };
    (peak, verdict)
}

#[test]
fn a_preflight_holds_less_than_64_mb_whatever_the_file_says() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("upload.pt");
    let nothing = module(b"");
    let mut measured = 0;
    let mut measure = |what: &str, upload: Upload, verdict: &str| {
        upload.finish();
        let (peak, said) = peak_of_preflight(&path);
        println!("{:>6.1} MB  {what}: {said}", peak as f64 / 1e6);
        assert!(said.contains(verdict), "{what}: {said}");
        assert!(peak < MOST, "{what} took {peak} bytes");
        measured += 1;
    };

    // Directories.
    let fill_directory = |upload: &mut Upload, entries: usize, name_length: usize| {
        for index in 0..entries {
            let name = format!("extra/{index:06}");
            upload.add(&format!("{name:x<name_length$}"), b"");
        }
    };
    for (entries, name_length, verdict) in
        [(99_990, 12, "passes"), (99_990, 110, "passes"), (15_000, 1000, "passes"), (100_010, 12, "at most 100000")]
    {
        let mut upload = Upload::new(&path, &nothing);
        fill_directory(&mut upload, entries, name_length);
        measure(&format!("{entries} records with names of {name_length} bytes"), upload, verdict);
    }

    // Pickles.
    let repeated =
        |bytes: &[u8], count: usize| [text("a"), b"](".to_vec(), bytes.repeat(count), b"e".to_vec()].concat();
    let nested = |opening: &[u8], closing: &[u8], depth: usize| {
        [text("a"), opening.repeat(depth), closing.repeat(depth)].concat()
    };
    let tuples = [&b"("[..], &b"(K\x01K\x01K\x01t".repeat(60), b"t"].concat();
    for (what, attributes, verdict) in [
        ("numbers", repeated(b"N", 7_000_000), "passes"),
        ("integers", repeated(b"\x8a\x08\x01\x02\x03\x04\x05\x06\x07\x08", 6_000_000), "passes"),
        ("empty lists", repeated(b"]", 7_000_000), "passes"),
        ("empty dictionaries", repeated(b"}", 7_000_000), "passes"),
        ("classes", repeated(b"c__torch__\nNet\n", 4_000_000), "passes"),
        ("objects", repeated(b"c__torch__\nNet\n)\x81}b", 1_500_000), "passes"),
        ("tuples of tuples", repeated(&tuples, 20_000), "passes"),
        ("more operations than are read", repeated(b"N", 8_000_010), "more than 8000000 operations"),
        ("lists in lists", nested(b"](NNNNNNNNNNNNNNNNNNNNNNNNNNNNNNNNNNNN", b"e", 190), "passes"),
        ("tuples in tuples", nested(b"(NNNNNNNNNNNNNNNNNNNNNNNNNNNNNNNNNNN", b"t", 190), "passes"),
        ("marks", nested(b"(", b"", 5_000), "more containers at once"),
        ("memo entries", memo_flood(1 << 20), "passes"),
        ("more memo entries than are read", memo_flood((1 << 20) + 1), "memo entries"),
        ("texts", text_flood(8_000_000, 100), "passes"),
        ("long texts", text_flood(8_000_000, 8_000), "passes"),
        ("more texts than are read", text_flood(60_000_000, 8_000), "bytes of texts"),
        ("texts of a megabyte", text_flood(60_000_000, 1_000_000), "passes"),
    ] {
        measure(what, Upload::new(&path, &module(&attributes)), verdict);
    }

    // Tensors, each with a record.
    let tensors: Vec<u8> = (0..90_000).flat_map(tensor).collect();
    let attributes = [text("tensors"), b"](".to_vec(), tensors, b"e".to_vec()].concat();
    let mut upload = Upload::new(&path, &module(&attributes));
    for index in 0..90_000 {
        upload.add(&format!("data/{index}"), &[0; 4]);
    }
    measure("90000 tensors", upload, "passes with 90000 tensors");

    // Compressed records.
    let mut upload = Upload::new(&path, &nothing);
    let debug = [&b"\x80\x02]("[..], &b"N".repeat(7_000_000), b"e."].concat();
    upload.add_packed("code/__torch__.py.debug_pkl", &debug, CompressionMethod::Deflated);
    upload.add_packed("extra/zeros", &vec![0; 16 << 20], CompressionMethod::Deflated);
    measure("compressed records", upload, "passes");

    // Source text. Most of it is refused; what matters is what is held until then.
    let numbered = |count: usize, line: &dyn Fn(usize) -> String| (0..count).map(line).collect::<String>();
    let function = |name: &str, parameters: &str, body: &str| {
        format!("  def {name}(self: __torch__.Net, {parameters}x: Tensor) -> Tensor:\n{body}    return torch.relu(x)\n")
    };
    let forward = |body: &str| function("forward", "", body);
    let four = |line: &dyn Fn(usize) -> String| numbered(4, line);
    for (what, members) in [
        ("attributes", numbered(99_000, &|index| format!("  a{index} : Tensor\n"))),
        (
            "parameters",
            four(&|which| {
                function(&format!("f{which}"), &numbered(60_000, &|index| format!("a{index}: Tensor, ")), "")
            }),
        ),
        ("types", numbered(90_000, &|index| format!("  a{index} : Tuple[List[int], Dict[str, int]]\n"))),
        ("long types", four(&|which| format!("  a{which} : Tuple[{}int]\n", "int, ".repeat(200_000)))),
        (
            "nested types",
            four(&|which| format!("  a{which} : {}int{}\n", "List[".repeat(150_000), "]".repeat(150_000))),
        ),
        (
            "functions",
            numbered(45_000, &|index| {
                format!("  def f{index}(self, x: Tensor) -> Tensor:\n    return torch.relu(x)\n")
            }),
        ),
        (
            "variables",
            numbered(5, &|which| {
                function(
                    &format!("f{which}"),
                    "",
                    &numbered(19_000, &|index| format!("    v{index} = torch.relu(x)\n")),
                )
            }),
        ),
        ("calls", forward(&"    x = torch.relu(torch.relu(x))\n".repeat(90_000))),
        ("lists", forward(&four(&|_| format!("    y = [{}]\n", "1, ".repeat(300_000))))),
        ("brackets", forward(&format!("    y = {}\n", "(".repeat(1_000_000)))),
        ("operators", forward(&four(&|_| format!("    y = x{}\n", " + x".repeat(250_000))))),
        ("dots", forward(&four(&|_| format!("    y = x{}\n", ".x".repeat(500_000))))),
        ("one word", "a".repeat(4_100_000)),
        ("one text", forward(&format!("    y = \"{}\"\n", "a".repeat(4_000_000)))),
        ("one line", " ".repeat(4_100_000)),
        ("short lines", "\n".repeat(4_100_000)),
    ] {
        let source = format!("class Net(Module):\n  __parameters__ = []\n  __buffers__ = []\n{members}");
        assert!(source.len() <= archive::MAX_SOURCE as usize, "{what}: {} bytes", source.len());
        measure(what, Upload::with_source(&path, &nothing, source.as_bytes()), "");
    }

    // Everything at once.
    let attributes = [memo_flood(1 << 20), text_flood(8_000_000, 8_000)].concat();
    let mut upload = Upload::new(&path, &module(&attributes));
    fill_directory(&mut upload, 99_990, 110);
    measure("records, memo entries and texts", upload, "passes");

    assert_eq!(measured, 40);
}
