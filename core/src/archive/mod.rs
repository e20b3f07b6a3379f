//! Pre-flight of an uploaded TorchScript archive, in pure Rust.
//!
//! A TorchScript file is a program, and libtorch's loader trusts it. So every upload is checked here before libtorch sees
//! a byte: the server calls [`preflight`] to answer a bad file at once, the engine calls it again before it loads.
//! What passes is a zip with one reading ([`zip`](crate::untrusted::zip)) and one root folder of records that PyTorch
//! writes ([`record`]), each with the CRC-32 of its header; pickles of known names and bounded size
//! ([`pickle`](crate::untrusted::pickle)), all of them, whether anybody reads them or not; tensors inside their storages
//! ([`tensor`]); and source text that runs nothing while it is loaded and in which every call is of an operator on the list
//! or of a function of the archive ([`code`]). What is recognised as another format is refused by its name ([`foreign`]).
//! Records and pickles are read as streams: what a pre-flight holds is bounded by a constant, whatever the file says
//! (`core/tests/preflight_memory.rs` measures it). Nothing here panics on any input. A file that cannot be read at all
//! counts as damaged.
//! Not checked: which overload of an operator the compiler takes, which needs types. The engine checks that after loading.

mod code;
mod foreign;
pub mod patch;
mod record;
mod tensor;
mod trace;

#[cfg(test)]
mod fixture;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use self::record::Records;
use self::tensor::{TensorCheck, TensorCount, TensorUse};
use crate::rejection::{Code, Rejection};
use crate::untrusted::pickle::{self, PickleName, ValueKind, Witness};
use crate::untrusted::zip::{Directory, DirectoryLimits, ZipError, ZipErrorKind};

/// The most entries that an archive may have: a network has about one per tensor and two per module.
pub const MAX_ENTRIES: u64 = 100_000;
/// The most bytes that the zip directory may have, most of which are names.
pub const MAX_DIRECTORY: u64 = 16 << 20;
/// The most bytes that one pickle may have.
pub const MAX_PICKLE: u64 = 64 << 20;
/// The most bytes that one source file, or all of them, may have. libtorch takes two hundred times as much memory to compile it; the largest of the networks
/// in docs/coverage.md has 630 KB.
pub const MAX_SOURCE: u64 = 4 << 20;
/// The most source files that an archive may have.
pub const MAX_SOURCE_FILES: usize = 20_000;
/// The most bytes of a record that holds one word.
const MAX_LABEL: u64 = 64;
/// Format versions that PyTorch 2.11 reads.
const VERSIONS: std::ops::RangeInclusive<u32> = 1..=10;

/// What to do about a file that another program has changed.
const AS_SAVED_HINT: &str =
    "Upload the file as `torch.jit.save` wrote it, not packed anew or changed by another program.";

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

/// Checks an archive and sums it up.
///
/// # Errors
///
/// Says what is wrong with the archive and what the user can do; a file that cannot be read counts as damaged.
pub fn preflight(path: &Path) -> Result<ArchiveSummary, Rejection> {
    preflight_reader(&mut open(path)?)
}

/// Checks an archive that is open, as [`preflight`] does.
///
/// # Errors
///
/// Those of [`preflight`].
pub fn preflight_reader(file: &mut (impl Read + Seek)) -> Result<ArchiveSummary, Rejection> {
    let length = check_head(file)?;
    let directory = read_directory(file)?;
    foreign::check_names(&directory)?;
    let records = Records::new(&directory)?;

    let sources = records.sources();
    if sources.is_empty() {
        let mut start = Vec::new();
        let read = records.open(file, "data.pkl", u64::MAX)?.take(foreign::HEAD).read_to_end(&mut start);
        read.map_err(|error| unreadable(&error))?;
        return Err(foreign::without_code(&start));
    }
    records.check()?;
    records.check_sums(file)?;
    check_version(file, &records)?;
    check_byte_order(file, &records)?;
    check_code(file, &records, &sources)?;
    let count = check_pickles(file, &records, length)?;

    Ok(ArchiveSummary {
        root: records.root.to_owned(),
        bytes: records.packed_bytes(),
        tensors: count.tensors,
        storage_bytes: count.storage_bytes,
        device_tensors: count.device_tensors,
        dtypes: count.dtypes.into_iter().map(|(name, tensors)| (name.to_owned(), tensors)).collect(),
        code_files: sources.len(),
        traced_inputs: records.get("traced_inputs.pkl").is_some(),
    })
}

/// The shapes of the example that the model was traced with, batch included, in the order of the inputs.
///
/// `None` when the archive has no such record, when an input is not a tensor, or when the record is not readable:
/// the shapes are a convenience and their absence is never an error.
pub fn traced_input_shapes(path: &Path) -> Option<Vec<Vec<i64>>> {
    traced_input_shapes_reader(&mut open(path).ok()?)
}

/// The shapes of the traced example of an archive that is open, as [`traced_input_shapes`] gives them.
pub fn traced_input_shapes_reader(file: &mut (impl Read + Seek)) -> Option<Vec<Vec<i64>>> {
    let directory = read_directory(file).ok()?;
    let records = Records::new(&directory).ok()?;
    trace::input_shapes(records.open(file, "traced_inputs.pkl", MAX_PICKLE).ok()?)
}

fn open(path: &Path) -> Result<File, Rejection> {
    File::open(path).map_err(|error| unreadable(&error))
}

fn unreadable(error: &std::io::Error) -> Rejection {
    Rejection::new(Code::DamagedArchive, format!("The file could not be read: {error}."))
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

fn read_directory(file: &mut (impl Read + Seek)) -> Result<Directory, Rejection> {
    Directory::read(file, DirectoryLimits { entries: MAX_ENTRIES, directory: MAX_DIRECTORY }).map_err(zip_rejection)
}

fn zip_rejection(error: ZipError) -> Rejection {
    let (code, hint) = match error.kind {
        ZipErrorKind::Damaged => (Code::DamagedArchive, "Upload the file again, whole and unchanged."),
        ZipErrorKind::Refused => (Code::UnsafeArchive, AS_SAVED_HINT),
    };
    let rejection = Rejection::new(code, error.sentence()).hint(hint);
    match error.entry {
        Some(entry) => rejection.at(entry),
        None => rejection,
    }
}

/// PyTorch reads `.data/version` when it is there and `version` else.
fn check_version(file: &mut (impl Read + Seek), records: &Records) -> Result<(), Rejection> {
    let present = [".data/version", "version"].map(|name| records.get(name).map(|_| name));
    if present == [None, None] {
        return Err(Rejection::new(
            Code::DamagedArchive,
            "The record `version` is missing; it holds the format version.",
        )
        .at("version"));
    }
    for name in present.into_iter().flatten() {
        let bytes = records.read(file, name, MAX_LABEL)?;
        let version = std::str::from_utf8(&bytes).ok().and_then(|text| text.trim().parse::<u32>().ok());
        if !version.is_some_and(|version| VERSIONS.contains(&version)) {
            return Err(Rejection::new(
                Code::DamagedArchive,
                format!(
                    "The format version is `{}`; versions {} to {} are read.",
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

fn check_byte_order(file: &mut (impl Read + Seek), records: &Records) -> Result<(), Rejection> {
    if records.get("byteorder").is_none() {
        return Ok(());
    }
    match records.read(file, "byteorder", MAX_LABEL)?.as_slice() {
        b"little" => Ok(()),
        other => Err(Rejection::new(
            Code::UnsupportedDtype,
            format!("The byte order of the tensors is `{}`; `little` is needed.", other.escape_ascii()),
        )
        .at("byteorder")),
    }
}

fn check_code(file: &mut (impl Read + Seek), records: &Records, sources: &[&str]) -> Result<(), Rejection> {
    let mut texts = Vec::with_capacity(sources.len());
    for &name in sources {
        let text = String::from_utf8(records.read(file, name, MAX_SOURCE)?);
        texts.push(text.map_err(|_| {
            Rejection::new(Code::DamagedArchive, format!("The source text of `{name}` is not UTF-8.")).at(name)
        })?);
    }
    let sources: Vec<_> = sources.iter().zip(&texts).map(|(&record, text)| code::SourceFile { record, text }).collect();
    code::check(&sources)
}

/// Reads every pickle of the archive; the tensors of those that PyTorch loads are checked and counted.
fn check_pickles(file: &mut (impl Read + Seek), records: &Records, file_bytes: u64) -> Result<TensorCount, Rejection> {
    let mut operations = pickle::MAX_OPERATIONS;
    let (mut count, mut uncounted) = (TensorCount::default(), TensorCount::default());
    for record in ["data.pkl", "constants.pkl"] {
        // Both are needed; the loop below takes what there is.
        records.open(file, record, MAX_PICKLE)?;
    }
    for record in records.pickles() {
        let source = records.open(file, record, MAX_PICKLE)?;
        // Source text calls the values of the tuple so.
        let prefix = if record == "constants.pkl" { "CONSTANTS.c" } else { "" };
        let name = PickleName { record, prefix };
        let (folder, used_as, count) = match record {
            "data.pkl" => ("data", TensorUse::Weights, &mut count),
            "constants.pkl" => ("constants", TensorUse::Weights, &mut count),
            "traced_inputs.pkl" => ("traced_inputs", TensorUse::Example, &mut uncounted),
            _ => {
                pickle::read(source, name, &mut operations, &mut Passer)?;
                continue;
            }
        };
        let mut check = TensorCheck::new(record, folder, used_as, records, file_bytes, count);
        let root = pickle::read(source, name, &mut operations, &mut check)?;
        check_root_value(root, record)?;
    }
    Ok(count)
}

/// Of pickles for other interpreters and for debugging, which are not loaded, only what they are made of matters.
struct Passer;

impl Witness for Passer {}

/// `data.pkl` holds the module, `constants.pkl` a tuple, `traced_inputs.pkl` the inputs by method.
fn check_root_value(root: ValueKind, record: &str) -> Result<(), Rejection> {
    let expected = match (record, root) {
        ("data.pkl", ValueKind::Object { built: true, .. }) => return Ok(()),
        ("constants.pkl", ValueKind::Tuple(_)) => return Ok(()),
        ("traced_inputs.pkl", ValueKind::Dict { .. }) => return Ok(()),
        ("data.pkl", _) => "TorchScript module",
        ("constants.pkl", _) => "tuple",
        _ => "dictionary",
    };
    Err(Rejection::new(Code::DamagedArchive, format!("`{record}` does not hold a {expected} as its root.")).at(record))
}
