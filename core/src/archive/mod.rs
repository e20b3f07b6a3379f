//! Pre-flight of an uploaded TorchScript archive, in pure Rust.
//!
//! A TorchScript file is a program, and libtorch's loader trusts it. So every upload is checked here before libtorch sees
//! a byte: the server calls [`preflight`] to answer a bad file at once, the engine calls it again before it loads.
//! What passes is a zip with one reading ([`zip`]) and one root folder of records; pickles of known names and bounded size
//! ([`pickle`]); tensors inside their storages ([`tensor`]); and source text that runs nothing while it is loaded and in which every
//! call is of an operator on the list or of a function of the archive ([`code`]). What is recognised as another format is refused by its name ([`foreign`]).
//! Only source text and extra files may be compressed, as PyTorch does; everything else is stored.
//! Memory is bounded whatever the file says: tensors are not read, records that are read have limits. Nothing here
//! panics on any input. A file that cannot be read at all counts as damaged.
//! Not checked: which overload of an operator the compiler takes, which needs types. The engine checks that after loading.

mod code;
pub(crate) mod fields;
mod foreign;
mod pickle;
mod tensor;
pub(crate) mod zip;

#[cfg(test)]
mod fixture;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use self::pickle::{Pickle, Value};
use self::tensor::{Place, TensorCount};
use self::zip::{Entry, Limits, Method, ZipError, ZipErrorKind};
use crate::rejection::{Code, Rejection};

/// Entries of an archive: about one per tensor and two per module.
pub const MAX_ENTRIES: u64 = 100_000;
/// Bytes of the zip directory.
pub const MAX_DIRECTORY: u64 = 32 << 20;
/// Bytes of one pickle.
pub const MAX_PICKLE: u64 = 64 << 20;
/// Bytes of one source file, or of all of them. libtorch takes two hundred times as much memory to compile it; the largest of the networks
/// in docs/coverage.md has 630 KB.
pub const MAX_SOURCE: u64 = 4 << 20;
/// Source files.
pub const MAX_SOURCE_FILES: usize = 20_000;
/// Format versions that PyTorch 2.11 reads.
const VERSIONS: std::ops::RangeInclusive<u32> = 1..=10;

const QUANTIZED_HINT: &str =
    "quantized models cannot be pruned: upload the float32 model and quantize the pruned one afterwards";

/// What pre-flight learns about an archive that it lets through.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArchiveSummary {
    /// Name of the root folder inside the zip.
    pub root: String,
    /// Actual bytes of all records in the file.
    pub bytes: u64,
    /// Tensors in `data.pkl` and `constants.pkl`.
    pub tensors: usize,
    /// Bytes of the storages of these tensors.
    pub storage_bytes: u64,
    /// Tensors that were saved from an accelerator; they are loaded to the CPU.
    pub device_tensors: usize,
    /// How many tensors there are of each type, `float32` and so on.
    pub dtypes: BTreeMap<String, usize>,
    /// Source files in `code/`.
    pub code_files: usize,
    /// Whether the shapes of the traced example are recorded, see [`traced_input_shapes`].
    pub traced_inputs: bool,
}

/// Checks an archive; an error says what is wrong with it and what the user can do.
pub fn preflight(path: &Path) -> Result<ArchiveSummary, Rejection> {
    preflight_reader(&mut open(path)?)
}

/// [`preflight`] of an archive that is open.
pub fn preflight_reader(file: &mut (impl Read + Seek)) -> Result<ArchiveSummary, Rejection> {
    let length = check_head(file)?;
    let entries = read_directory(file)?;
    foreign::check_names(&entries)?;
    let archive = Archive::new(&entries)?;

    let sources = archive.sources();
    if sources.is_empty() {
        let data = archive.read(file, "data.pkl", MAX_PICKLE)?;
        return Err(foreign::without_code(&data));
    }
    archive.check_packing()?;
    archive.check_version(file)?;
    archive.check_byte_order(file)?;
    archive.check_code(file, &sources)?;

    let mut count = TensorCount::default();
    for (record, folder) in [("data.pkl", "data"), ("constants.pkl", "constants")] {
        let bytes = archive.read(file, record, MAX_PICKLE)?;
        let pickle = Pickle::read(&bytes, record)?;
        check_root_value(&pickle, record)?;
        archive.check_classes(&pickle, record)?;
        count.add(&pickle, &Place { record, folder, records: &archive.records, file_bytes: length })?;
    }

    Ok(ArchiveSummary {
        root: archive.root.to_owned(),
        bytes: entries.iter().map(|entry| entry.packed_size).sum(),
        tensors: count.tensors,
        storage_bytes: count.storage_bytes,
        device_tensors: count.device_tensors,
        dtypes: count.dtypes,
        code_files: sources.len(),
        traced_inputs: archive.records.contains_key("traced_inputs.pkl"),
    })
}

/// The shapes of the example that the model was traced with, batch included, in the order of the inputs.
///
/// `None` when the archive has no such record, when an input is not a tensor, or when the record is not readable:
/// the shapes are a convenience and their absence is never an error.
pub fn traced_input_shapes(path: &Path) -> Option<Vec<Vec<i64>>> {
    traced_input_shapes_reader(&mut open(path).ok()?)
}

/// [`traced_input_shapes`] of an archive that is open.
pub fn traced_input_shapes_reader(file: &mut (impl Read + Seek)) -> Option<Vec<Vec<i64>>> {
    let entries = read_directory(file).ok()?;
    let archive = Archive::new(&entries).ok()?;
    let bytes = archive.read(file, "traced_inputs.pkl", MAX_PICKLE).ok()?;
    let pickle = Pickle::read(&bytes, "traced_inputs.pkl").ok()?;
    let Value::Dict(methods) = pickle.root() else {
        return None;
    };
    let (_, inputs) = methods.iter().find(|&&(method, _)| *pickle.value(method) == Value::Text("forward"))?;
    let (Value::List(inputs) | Value::Tuple(inputs)) = pickle.value(*inputs) else {
        return None;
    };
    let shape = |&input| match pickle.value(input) {
        Value::Tensor(index) => Some(pickle.tensors[*index as usize].sizes.clone()),
        _ => None,
    };
    let shapes: Vec<Vec<i64>> = inputs.iter().map(shape).collect::<Option<_>>()?;
    let possible = !shapes.is_empty() && shapes.iter().flatten().all(|&size| size >= 0);
    possible.then_some(shapes)
}

fn open(path: &Path) -> Result<File, Rejection> {
    File::open(path).map_err(|error| unreadable(&error))
}

fn unreadable(error: &std::io::Error) -> Rejection {
    Rejection::new(Code::DamagedArchive, format!("the file could not be read: {error}"))
}

/// The length of a file that starts as a zip.
fn check_head(file: &mut (impl Read + Seek)) -> Result<u64, Rejection> {
    let length = file.seek(SeekFrom::End(0)).map_err(|error| unreadable(&error))?;
    file.seek(SeekFrom::Start(0)).map_err(|error| unreadable(&error))?;
    let mut head = Vec::new();
    file.take(foreign::HEAD).read_to_end(&mut head).map_err(|error| unreadable(&error))?;
    foreign::check_head(&head, length)?;
    Ok(length)
}

fn read_directory(file: &mut (impl Read + Seek)) -> Result<Vec<Entry>, Rejection> {
    zip::read_directory(file, Limits { entries: MAX_ENTRIES, directory: MAX_DIRECTORY }).map_err(zip_rejection)
}

fn zip_rejection(error: ZipError) -> Rejection {
    let (code, hint) = match error.kind {
        ZipErrorKind::Damaged => (Code::DamagedArchive, "upload the file again, whole and unchanged"),
        ZipErrorKind::Refused => {
            (Code::UnsafeArchive, "upload the file as `torch.jit.save` wrote it, not packed anew by another program")
        }
    };
    let rejection = Rejection::new(code, error.detail).hint(hint);
    match error.entry {
        Some(entry) => rejection.at(entry),
        None => rejection,
    }
}

/// `data.pkl` holds the module, `constants.pkl` a tuple.
fn check_root_value(pickle: &Pickle, record: &str) -> Result<(), Rejection> {
    match (record, pickle.root()) {
        ("data.pkl", Value::Object(Some(_))) | ("constants.pkl", Value::Tuple(_)) => Ok(()),
        ("data.pkl", _) => {
            Err(Rejection::new(Code::DamagedArchive, "`data.pkl` does not hold a TorchScript module").at(record))
        }
        _ => Err(Rejection::new(Code::DamagedArchive, format!("`{record}` does not hold a tuple")).at(record)),
    }
}

/// The records of an archive by their names below its one root folder.
struct Archive<'a> {
    root: &'a str,
    records: HashMap<&'a str, &'a Entry>,
}

impl<'a> Archive<'a> {
    fn new(entries: &'a [Entry]) -> Result<Self, Rejection> {
        let mut archive = Self { root: "", records: HashMap::with_capacity(entries.len()) };
        for entry in entries {
            let (root, record) = entry.name.split_once('/').ok_or_else(|| {
                Rejection::new(
                    Code::UnsafeArchive,
                    format!("the record `{}` does not lie in the root folder of the archive", entry.name),
                )
                .at(entry.name.as_str())
            })?;
            if archive.records.is_empty() {
                archive.root = root;
            } else if archive.root != root {
                return Err(Rejection::new(
                    Code::UnsafeArchive,
                    format!("the archive has two root folders, `{}` and `{root}`; one is allowed", archive.root),
                )
                .at(entry.name.as_str()));
            }
            archive.records.insert(record, entry);
        }
        Ok(archive)
    }

    /// Reads a record that must exist and have at most `limit` bytes.
    fn read(&self, file: &mut (impl Read + Seek), name: &str, limit: u64) -> Result<Vec<u8>, Rejection> {
        let entry = *self
            .records
            .get(name)
            .ok_or_else(|| Rejection::new(Code::DamagedArchive, format!("the record `{name}` is missing")).at(name))?;
        check_packing(name, entry)?;
        if entry.size > limit {
            return Err(Rejection::new(
                Code::UnsafeArchive,
                format!("the record `{name}` has {} bytes, at most {limit} are allowed", entry.size),
            )
            .at(name));
        }
        zip::read_entry(file, entry).map_err(|error| zip_rejection(error).at(name))
    }

    /// The source files of the archive, sorted, so that a report does not change from run to run.
    fn sources(&self) -> Vec<&'a str> {
        let is_source = |name: &&&str| name.starts_with("code/") && name.ends_with(".py");
        let mut sources: Vec<&str> = self.records.keys().filter(is_source).copied().collect();
        sources.sort_unstable();
        sources
    }

    fn check_packing(&self) -> Result<(), Rejection> {
        self.records.iter().try_for_each(|(name, entry)| check_packing(name, entry))
    }

    /// PyTorch reads `.data/version` when it is there and `version` else.
    fn check_version(&self, file: &mut (impl Read + Seek)) -> Result<(), Rejection> {
        let records = [".data/version", "version"].map(|name| self.records.contains_key(name).then_some(name));
        if records == [None, None] {
            return Err(Rejection::new(Code::DamagedArchive, "the record `version` is missing").at("version"));
        }
        for name in records.into_iter().flatten() {
            let bytes = self.read(file, name, 64)?;
            let version = std::str::from_utf8(&bytes).ok().and_then(|text| text.trim().parse::<u32>().ok());
            if !version.is_some_and(|version| VERSIONS.contains(&version)) {
                return Err(Rejection::new(
                    Code::DamagedArchive,
                    format!(
                        "the format version is `{}`; versions {} to {} are read",
                        bytes.escape_ascii(),
                        VERSIONS.start(),
                        VERSIONS.end()
                    ),
                )
                .at(name));
            }
        }
        Ok(())
    }

    fn check_byte_order(&self, file: &mut (impl Read + Seek)) -> Result<(), Rejection> {
        if !self.records.contains_key("byteorder") {
            return Ok(());
        }
        match self.read(file, "byteorder", 64)?.as_slice() {
            b"little" => Ok(()),
            other => Err(Rejection::new(
                Code::UnsupportedDtype,
                format!("the byte order of the tensors is `{}`; `little` is needed", other.escape_ascii()),
            )
            .at("byteorder")),
        }
    }

    fn check_code(&self, file: &mut (impl Read + Seek), sources: &[&str]) -> Result<(), Rejection> {
        let total: u64 = sources.iter().map(|name| self.records[name].size).sum();
        if total > MAX_SOURCE || sources.len() > MAX_SOURCE_FILES {
            return Err(Rejection::new(
                Code::UnsafeArchive,
                format!(
                    "the {} source files have {total} bytes; at most {MAX_SOURCE_FILES} files and {MAX_SOURCE} bytes are allowed",
                    sources.len()
                ),
            )
            .at("code/"));
        }
        let mut texts = Vec::with_capacity(sources.len());
        for &name in sources {
            let text = String::from_utf8(self.read(file, name, MAX_SOURCE)?);
            texts.push(text.map_err(|_| {
                Rejection::new(Code::DamagedArchive, format!("the source text of `{name}` is not UTF-8")).at(name)
            })?);
        }
        let sources: Vec<_> = sources.iter().zip(&texts).map(|(&record, text)| code::Source { record, text }).collect();
        code::check(&sources)
    }

    /// Every class that a pickle names must have its source file.
    fn check_classes(&self, pickle: &Pickle, record: &str) -> Result<(), Rejection> {
        for (module, class) in pickle.classes() {
            let source = format!("code/{}.py", module.replace('.', "/"));
            if !self.records.contains_key(source.as_str()) {
                return Err(Rejection::new(
                    Code::DamagedArchive,
                    format!("`{record}` names the class `{module}.{class}`, but the record `{source}` is missing"),
                )
                .at(source));
            }
        }
        Ok(())
    }
}

/// PyTorch deflates source text, and extra files in some versions; everything else is stored.
fn check_packing(name: &str, entry: &Entry) -> Result<(), Rejection> {
    let refused = |detail: String| {
        Err(Rejection::new(Code::UnsafeArchive, detail)
            .at(name)
            .hint("upload the file as `torch.jit.save` wrote it, not packed anew by another program"))
    };
    let may_be_deflated = name.starts_with("code/") || name.starts_with("extra/");
    match entry.method {
        Method::Stored => Ok(()),
        Method::Deflated if may_be_deflated && entry.size <= MAX_SOURCE => Ok(()),
        Method::Deflated if may_be_deflated => {
            refused(format!("the record `{name}` unpacks to {} bytes, at most {MAX_SOURCE} are allowed", entry.size))
        }
        _ => refused(format!("the record `{name}` is compressed; PyTorch compresses source text only")),
    }
}
