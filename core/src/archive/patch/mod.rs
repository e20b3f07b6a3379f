//! A copy of an archive with smaller tensors and a few changed literals: the user's own program, minus channels.
//!
//! [`Program::open`] reads what a patch needs of an archive that passed the pre-flight; [`Program::write`] copies it. Every
//! record stays as it is, byte for byte, but for the elements of tensors, the sizes and strides in the pickles, and the
//! literals that were asked for. Where a file cannot be written in this way, [`NotPatched`] says why.

mod code;
mod pickle;
mod tensors;
mod walk;
mod zip;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs::File;
use std::io::{BufWriter, Read, Seek, SeekFrom};
use std::path::Path;

use flate2::Crc;
use flate2::write::DeflateEncoder;

use self::code::{EditsByInstance, Instance, TextEdit};
use self::pickle::{Kind, NodeId, Tree};
use self::tensors::{Pickle, Splices};
use self::walk::Walk;
use self::zip::{Packing, ZipWriter};
use super::record::Records;
use super::{MAX_PICKLE, MAX_SOURCE, open, read_directory};
use crate::rejection::Rejection;
use crate::untrusted::zip::{Compression, Directory, Entry};

/// Why an archive cannot be copied with the changes that were asked for: a clause in lower case, without a full stop.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NotPatched(String);

impl NotPatched {
    /// For this reason.
    pub fn new(reason: impl Into<String>) -> Self {
        Self(reason.into())
    }
}

impl From<Rejection> for NotPatched {
    fn from(rejection: Rejection) -> Self {
        Self(rejection.detail)
    }
}

impl From<std::io::Error> for NotPatched {
    fn from(error: std::io::Error) -> Self {
        Self(format!("a file cannot be read or written: {error}"))
    }
}

/// The tensors that replace those of the archive, by their names (`layer1.0.weight`, `CONSTANTS.c0`).
pub trait NewTensors {
    /// Its sizes; `None` when the tensor stays as it is.
    fn sizes(&self, name: &str) -> Option<Vec<i64>>;

    /// Its elements, little-endian and in the archive's own type, the dimensions from outermost to innermost in this `order`.
    ///
    /// # Errors
    /// Why they cannot be given.
    fn elements(&self, name: &str, order: &[usize]) -> Result<Vec<u8>, NotPatched>;
}

/// Where something in the program's text is replaced.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// Bytes of a source file.
    Code {
        /// The source file, `code/__torch__/net.py`.
        record: String,
        /// The first byte.
        start: usize,
        /// The byte after the last one.
        end: usize,
        /// The path of the object whose method this is, or whose method called the function that this is.
        instance: String,
        /// The method, and the functions that it called until the one that this is in.
        calls: Vec<String>,
    },
    /// An attribute that is an integer.
    Attribute {
        /// The path of the object.
        instance: String,
        /// The attribute.
        name: String,
    },
}

/// An archive that is to be copied with changes.
#[derive(Debug)]
pub struct Program {
    file: File,
    directory: Directory,
    data: Pickle,
    constants: Pickle,
    code: BTreeMap<String, String>,
    /// The objects of `data.pkl`, an owner before what it owns.
    instances: Vec<Instance>,
    /// The node of each instance.
    nodes: Vec<NodeId>,
    /// Instances by path.
    paths: HashMap<String, usize>,
    /// Nodes of integer attributes, by instance and name.
    integers: HashMap<(usize, String), NodeId>,
}
impl Program {
    /// Reads the program of an archive that passed the pre-flight.
    ///
    /// # Errors
    /// Something is there that a patch does not know.
    pub fn open(path: &Path) -> Result<Self, NotPatched> {
        let mut file = open(path)?;
        let directory = read_directory(&mut file)?;
        let records = Records::new(&directory)?;
        let mut code = BTreeMap::new();
        for record in records.sources() {
            let text = String::from_utf8(records.read(&mut file, record, MAX_SOURCE)?);
            let text = text.map_err(|_| NotPatched::new(format!("`{record}` is not UTF-8")))?;
            code.insert(record.to_owned(), text);
        }
        let mut tree = |record: &'static str| {
            let bytes = records.read(&mut file, record, MAX_PICKLE)?;
            Tree::read(bytes).ok_or_else(|| NotPatched::new(format!("`{record}` is not written as PyTorch writes it")))
        };
        let (data, constants) = (tree("data.pkl")?, tree("constants.pkl")?);

        let mut walk = Walk::new(&data);
        walk.object(data.root(), String::new(), None)?;
        let Walk { tensors, instances, nodes, paths, integers, .. } = walk;
        let mut of_constants = Walk::new(&constants);
        if let Kind::Tuple(items) = constants.kind(constants.root()) {
            for (index, &item) in items.iter().enumerate() {
                of_constants.value(item, format!("CONSTANTS.c{index}"), None)?;
            }
        }
        let constant_tensors = of_constants.tensors;
        Ok(Self {
            file,
            data: Pickle { record: "data.pkl", folder: "data", tree: data, tensors },
            constants: Pickle {
                record: "constants.pkl",
                folder: "constants",
                tree: constants,
                tensors: constant_tensors,
            },
            directory,
            code,
            instances,
            nodes,
            paths,
            integers,
        })
    }

    /// The source files by record.
    pub fn sources(&self) -> &BTreeMap<String, String> {
        &self.code
    }

    /// The files that the user put in beside the model.
    pub fn extra_files(&self) -> Vec<String> {
        let names = self.directory.entries().filter_map(|entry| entry.name.split_once("/extra/"));
        names.map(|(_, name)| name.to_owned()).collect()
    }

    /// What stands at a place of the text.
    pub fn text(&self, record: &str, start: usize, end: usize) -> Option<&str> {
        self.code.get(record)?.get(start..end)
    }

    /// Writes the copy; `extra` are texts that go below `extra/`, beside those that are there.
    ///
    /// # Errors
    /// The changes cannot be made in this archive, or the copy cannot be written.
    pub fn write(
        &mut self,
        target: &Path,
        tensors: &impl NewTensors,
        edits: &BTreeMap<Place, String>,
        extra: &[(&str, &str)],
    ) -> Result<(), NotPatched> {
        let (by_instance, attributes) = self.sorted(edits)?;
        let edited = code::edit(&self.code, &self.instances, &by_instance)?;
        let mut splices = attributes;
        splices.extend(self.class_splices(&edited.classes));

        let Self { file, directory, data, constants, .. } = self;
        let records = Records::new(directory)?;
        let mut new: HashMap<String, Vec<u8>> = HashMap::new();
        for (pickle, mut splices) in [(&*data, splices), (&*constants, Splices::new())] {
            let replaced = pickle.replace(tensors, &records, file)?;
            new.extend(replaced.records);
            splices.extend(replaced.splices);
            if !splices.is_empty() {
                new.insert(pickle.record.to_owned(), pickle::spliced(&pickle.tree.bytes, splices));
            }
        }
        let mut dropped = HashSet::new();
        for (record, text) in edited.files {
            // Says which line of the user's Python each place of the old text comes from.
            dropped.insert(format!("{record}.debug_pkl"));
            new.insert(record, text.into_bytes());
        }
        new.extend(extra.iter().map(|(name, text)| (format!("extra/{name}"), text.as_bytes().to_vec())));
        copy(file, &records, directory, target, new, &dropped)
    }

    /// The edits of the source text by instance, and the splices of attributes.
    fn sorted(&self, edits: &BTreeMap<Place, String>) -> Result<(EditsByInstance, Splices), NotPatched> {
        let mut by_instance = EditsByInstance::new();
        let mut attributes = Splices::new();
        let find = |path: &String| {
            let found = self.paths.get(path).copied();
            found.ok_or_else(|| NotPatched::new(format!("`data.pkl` has no module `{path}`")))
        };
        for (place, text) in edits {
            match place {
                Place::Code { record, start, end, instance, calls } => {
                    let edit = TextEdit { record: record.clone(), start: *start, end: *end, text: text.clone() };
                    by_instance.entry(find(instance)?).or_default().entry(calls.clone()).or_default().insert(edit);
                }
                Place::Attribute { instance, name } => {
                    let node = self.integers.get(&(find(instance)?, name.clone()));
                    let value = text.parse::<i64>().ok();
                    let (Some(&node), Some(value)) = (node, value) else {
                        return Err(NotPatched::new(format!("the attribute `{name}` of `{instance}` is no integer")));
                    };
                    if self.data.tree.is_reference(node) || self.data.tree.is_memoised(node) {
                        return Err(NotPatched::new(format!("the attribute `{name}` of `{instance}` is shared")));
                    }
                    attributes.push((self.data.tree.span(node), pickle::integer(value)));
                }
            }
        }
        Ok((by_instance, attributes))
    }

    /// Names every object by its class. The first mention of a class is what later ones refer to.
    fn class_splices(&self, classes: &[String]) -> Splices {
        let tree = &self.data.tree;
        let mut mentioned: HashMap<NodeId, &String> = HashMap::new();
        let mut splices = Vec::new();
        for ((&object, instance), class) in self.nodes.iter().zip(&self.instances).zip(classes) {
            let Kind::Object { class: mention, .. } = tree.kind(object) else { continue };
            if !tree.is_reference(*mention) {
                mentioned.insert(*mention, class);
                if *class != instance.class {
                    splices.push((tree.span(*mention), pickle::class(class)));
                }
            }
        }
        for (&object, class) in self.nodes.iter().zip(classes) {
            let Kind::Object { class: mention, .. } = tree.kind(object) else { continue };
            if tree.is_reference(*mention) && mentioned.get(&tree.behind(*mention)) != Some(&class) {
                splices.push((tree.span(*mention), pickle::class(class)));
            }
        }
        splices
    }
}
/// Copies the records, the new ones in place of the old ones of the same name, and those that had none at the end.
fn copy(
    file: &mut File,
    records: &Records<'_>,
    directory: &Directory,
    target: &Path,
    mut new: HashMap<String, Vec<u8>>,
    dropped: &HashSet<String>,
) -> Result<(), NotPatched> {
    let mut writer = ZipWriter::new(BufWriter::new(File::create(target)?));
    for entry in directory.entries() {
        let name = records.name(entry);
        if dropped.contains(name) {
            continue;
        }
        match new.remove(name) {
            Some(bytes) => write_record(&mut writer, entry.name, entry.method, &bytes)?,
            None => copy_record(file, &mut writer, entry)?,
        }
    }
    let mut rest: Vec<(String, Vec<u8>)> = new.into_iter().collect();
    rest.sort();
    for (name, bytes) in rest {
        writer.store(&format!("{}/{name}", records.root), &bytes)?;
    }
    let file = writer.finish()?.into_inner().map_err(|error| error.into_error())?;
    file.sync_all()?;
    Ok(())
}

fn write_record(
    writer: &mut ZipWriter<BufWriter<File>>,
    name: &str,
    method: Compression,
    bytes: &[u8],
) -> Result<(), NotPatched> {
    if method != Compression::Deflated {
        return Ok(writer.store(name, bytes)?);
    }
    let mut encoder = DeflateEncoder::new(Vec::new(), flate2::Compression::default());
    std::io::Write::write_all(&mut encoder, bytes)?;
    let packed = encoder.finish()?;
    let mut sum = Crc::new();
    sum.update(bytes);
    Ok(writer.pack(name, Packing { method: 8, size: bytes.len() as u64, crc32: sum.sum() }, &packed)?)
}

fn copy_record(file: &mut File, writer: &mut ZipWriter<BufWriter<File>>, entry: Entry<'_>) -> Result<(), NotPatched> {
    let method = match entry.method {
        Compression::Stored => 0,
        Compression::Deflated => 8,
        Compression::Other(method) => method,
    };
    file.seek(SeekFrom::Start(entry.data_offset))?;
    let packing = Packing { method, size: entry.size, crc32: entry.crc32 };
    Ok(writer.copy(entry.name, packing, entry.packed_size, file.take(entry.packed_size))?)
}
