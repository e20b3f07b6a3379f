//! The records of an archive: what they are called, what each is for, and how it may be packed.
//!
//! PyTorch 1.4 to 2.11 write the names of [`Purpose::of`] and no others into an archive of `torch.jit.save`, those of the lite
//! interpreter included. A record of any other name would be read by nobody, or by somebody who has not been thought
//! of here: it is refused by its name. Names are compared as they are; PyTorch looks them up without regard to case, so
//! `code/net.PY` is source text to it, and unknown here.

use std::collections::HashMap;
use std::io::{Read, Seek};

use super::{AS_SAVED_HINT, MAX_LABEL, MAX_PICKLE, MAX_SOURCE, MAX_SOURCE_FILES, zip_rejection};
use crate::plain_text::quoted;
use crate::rejection::{Code, Rejection};
use crate::untrusted::zip::{self, Compression, Directory, Entry};

/// Bytes of all pickles, those with debug information unpacked.
const MAX_PICKLES: u64 = 128 << 20;
/// Bytes of a compressed record that is no source text, unpacked.
const MAX_INFLATED: u64 = 16 << 20;
/// Bytes of all of them.
const MAX_UNPACKED: u64 = 64 << 20;

/// What a record is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// Source text, compressed or not.
    Source,
    Pickle,
    /// A pickle that says where the source text comes from; compressed or not.
    DebugPickle,
    /// The elements of a tensor.
    Elements,
    /// A number or a word about the archive.
    Label,
    /// A file that the user put in. Bytes to PyTorch and to us; compressed by some versions.
    Extra,
}

impl Purpose {
    fn of(name: &str) -> Option<Self> {
        const ELEMENTS: [&str; 5] = ["data/", "constants/", "traced_inputs/", "bytecode/", "mobile_debug_handles/"];
        match name {
            "data.pkl" | "constants.pkl" | "traced_inputs.pkl" | "bytecode.pkl" | "mobile_debug_handles.pkl" => {
                Some(Self::Pickle)
            }
            "callstack_debug_map.pkl" | "delegated_backends.debug_pkl" => Some(Self::DebugPickle),
            "version" | ".data/version" | "byteorder" | ".data/serialization_id" => Some(Self::Label),
            ".format_version" | ".storage_alignment" => Some(Self::Label),
            _ if name.starts_with("extra/") => Some(Self::Extra),
            _ if ELEMENTS.iter().any(|folder| name.starts_with(folder)) => Some(Self::Elements),
            _ if name.starts_with("code/") && name.ends_with(".py") => Some(Self::Source),
            _ if name.starts_with("code/") && name.ends_with(".debug_pkl") => Some(Self::DebugPickle),
            _ => None,
        }
    }

    fn may_be_deflated(self) -> bool {
        matches!(self, Self::Source | Self::DebugPickle | Self::Extra)
    }
}

/// The records of an archive by their names below its one root folder.
#[derive(Debug)]
pub(super) struct Records<'a> {
    pub root: &'a str,
    directory: &'a Directory,
    numbers: HashMap<&'a str, u32>,
}

impl<'a> Records<'a> {
    /// The records of a zip; all must lie in one root folder.
    pub(super) fn new(directory: &'a Directory) -> Result<Self, Rejection> {
        let mut records = Self { root: "", directory, numbers: HashMap::with_capacity(directory.len()) };
        for (number, entry) in directory.entries().enumerate() {
            let (root, name) = entry.name.split_once('/').ok_or_else(|| {
                Rejection::new(
                    Code::UnsafeArchive,
                    format!(
                        "The record `{}` does not lie in the root folder of the archive; all records must.",
                        entry.name
                    ),
                )
                .at(entry.name)
            })?;
            if records.numbers.is_empty() {
                records.root = root;
            } else if records.root != root {
                return Err(Rejection::new(
                    Code::UnsafeArchive,
                    format!("The archive has two root folders, `{}` and `{root}`; one is allowed.", records.root),
                )
                .at(entry.name));
            }
            records.numbers.insert(name, number as u32);
        }
        Ok(records)
    }

    /// The zip entry of a record.
    pub(super) fn get(&self, name: &str) -> Option<Entry<'a>> {
        self.number(name).map(|number| self.directory.entry(number as usize))
    }

    /// The place of the record among the records.
    pub(super) fn number(&self, name: &str) -> Option<u32> {
        self.numbers.get(name).copied()
    }

    /// Bytes of all records in the file.
    pub(super) fn packed_bytes(&self) -> u64 {
        self.directory.entries().map(|entry| entry.packed_size).sum()
    }

    /// The source files, sorted, so that a report does not change from run to run.
    pub(super) fn sources(&self) -> Vec<&'a str> {
        self.sorted(Purpose::Source)
    }

    /// All pickles, sorted; those with debug information are the last.
    pub(super) fn pickles(&self) -> Vec<&'a str> {
        [self.sorted(Purpose::Pickle), self.sorted(Purpose::DebugPickle)].concat()
    }

    fn sorted(&self, purpose: Purpose) -> Vec<&'a str> {
        let mut names: Vec<&str> =
            self.numbers.keys().copied().filter(|name| Purpose::of(name) == Some(purpose)).collect();
        names.sort_unstable();
        names
    }

    /// Every record has a name that is known, is packed as PyTorch packs it, and they are not too large together.
    pub(super) fn check(&self) -> Result<(), Rejection> {
        let (mut sources, mut code, mut pickles, mut unpacked) = (0, 0u64, 0u64, 0u64);
        for entry in self.directory.entries() {
            let name = self.name(entry);
            let purpose = Purpose::of(name).ok_or_else(|| unknown(name))?;
            check_packing(name, purpose, entry)?;
            match purpose {
                Purpose::Source => {
                    sources += 1;
                    code = code.saturating_add(entry.size);
                }
                Purpose::Pickle | Purpose::DebugPickle => pickles = pickles.saturating_add(entry.size),
                _ => {}
            }
            if entry.method == Compression::Deflated && purpose != Purpose::Source {
                unpacked = unpacked.saturating_add(entry.size);
            }
        }
        let refused = |what: String, node: &str| Err(Rejection::new(Code::UnsafeArchive, what).at(node));
        if sources > MAX_SOURCE_FILES || code > MAX_SOURCE {
            return refused(
                format!(
                    "The {sources} source files have {code} bytes; at most {MAX_SOURCE_FILES} files and {MAX_SOURCE} bytes \
                     are allowed."
                ),
                "code/",
            );
        }
        if pickles > MAX_PICKLES {
            return refused(
                format!("The pickles have {pickles} bytes; at most {MAX_PICKLES} are allowed."),
                "data.pkl",
            );
        }
        if unpacked > MAX_UNPACKED {
            return refused(
                format!("The compressed records unpack to {unpacked} bytes; at most {MAX_UNPACKED} are allowed."),
                "extra/",
            );
        }
        Ok(())
    }

    /// Reads every record and compares its CRC-32, in the order of the file.
    pub(super) fn check_sums(&self, file: &mut (impl Read + Seek)) -> Result<(), Rejection> {
        self.directory
            .entries()
            .try_for_each(|entry| zip::check_sum(file, entry).map_err(|error| self.zip_rejection(error, entry)))
    }

    /// Reads a record that must exist and have at most `limit` bytes.
    pub(super) fn read(&self, file: &mut (impl Read + Seek), name: &str, limit: u64) -> Result<Vec<u8>, Rejection> {
        let entry = self.bounded(name, limit)?;
        zip::read_entry(file, entry).map_err(|error| self.zip_rejection(error, entry))
    }

    /// A record that must exist and have at most `limit` bytes, as a stream.
    pub(super) fn open<'f, R: Read + Seek>(
        &self,
        file: &'f mut R,
        name: &str,
        limit: u64,
    ) -> Result<zip::Content<'f, R>, Rejection> {
        let entry = self.bounded(name, limit)?;
        zip::Content::open(file, entry).map_err(|error| self.zip_rejection(error, entry))
    }

    fn bounded(&self, name: &str, limit: u64) -> Result<Entry<'a>, Rejection> {
        let entry = self
            .get(name)
            .ok_or_else(|| Rejection::new(Code::DamagedArchive, format!("The record `{name}` is missing.")).at(name))?;
        check_packing(name, Purpose::of(name).ok_or_else(|| unknown(name))?, entry)?;
        if entry.size > limit { Err(too_large(name, entry, limit)) } else { Ok(entry) }
    }

    /// The names of all records, in no order.
    pub(super) fn names(&self) -> impl Iterator<Item = &'a str> {
        self.numbers.keys().copied()
    }

    /// The name of a record below the root.
    pub(super) fn name(&self, entry: Entry<'a>) -> &'a str {
        // `new` saw the root in front of every name.
        entry.name.get(self.root.len() + 1..).unwrap_or_default()
    }

    fn zip_rejection(&self, error: zip::ZipError, entry: Entry<'a>) -> Rejection {
        let name = self.name(entry);
        zip_rejection(error).at(name)
    }
}

fn unknown(name: &str) -> Rejection {
    Rejection::new(Code::UnsafeArchive, format!("The record {} is none that `torch.jit.save` writes.", quoted(name)))
        .at(name)
        .hint("Upload the file as `torch.jit.save` wrote it, with files of your own in its `_extra_files`.")
}

fn too_large(name: &str, entry: Entry, limit: u64) -> Rejection {
    Rejection::new(
        Code::UnsafeArchive,
        format!("The record {} has {} bytes; at most {limit} are allowed.", quoted(name), entry.size),
    )
    .at(name)
}

/// PyTorch deflates source text and what belongs to it, and extra files in some versions; everything else is stored.
fn check_packing(name: &str, purpose: Purpose, entry: Entry) -> Result<(), Rejection> {
    let refused = |detail: String| Err(Rejection::new(Code::UnsafeArchive, detail).at(name).hint(AS_SAVED_HINT));
    let limit = match (purpose, entry.method) {
        (Purpose::Source, _) => MAX_SOURCE,
        (Purpose::DebugPickle | Purpose::Extra, Compression::Deflated) => MAX_INFLATED,
        (Purpose::Pickle | Purpose::DebugPickle, _) => MAX_PICKLE,
        (Purpose::Label, _) => MAX_LABEL,
        (Purpose::Elements | Purpose::Extra, _) => u64::MAX,
    };
    match entry.method {
        _ if entry.size > limit => Err(too_large(name, entry, limit)),
        Compression::Stored => Ok(()),
        Compression::Deflated if purpose.may_be_deflated() => Ok(()),
        _ => refused(format!("The record {} is compressed; PyTorch compresses source text only.", quoted(name))),
    }
}
