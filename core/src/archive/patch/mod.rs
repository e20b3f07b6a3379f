//! A copy of an archive with smaller tensors and a few changed literals: the user's own program, minus channels.
//!
//! [`Program::open`] reads what a patch needs of an archive that passed the pre-flight; [`Program::write`] copies it. Every
//! record stays as it is, byte for byte, but for the elements of tensors, the sizes and strides in the pickles, and the
//! literals that were asked for. Where a file cannot be written in this way, [`NotPatched`] says why.

mod code;
mod pickle;
mod zip;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs::File;
use std::io::{BufWriter, Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::Path;

use flate2::Crc;
use flate2::write::DeflateEncoder;

use self::code::{EditsByInstance, Instance, TextEdit};
use self::pickle::{Kind, NodeId, Tree};
use self::zip::{Packing, ZipWriter};
use super::record::Records;
use super::{MAX_PICKLE, MAX_SOURCE, open, read_directory};
use crate::rejection::Rejection;
use crate::untrusted::pickle::StorageType;
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

/// A pickle with its tensors.
#[derive(Debug)]
struct Pickle {
    record: &'static str,
    folder: &'static str,
    tree: Tree,
    tensors: Vec<StoredTensor>,
}

/// A tensor as a pickle describes it.
#[derive(Debug)]
struct StoredTensor {
    name: String,
    /// The nodes of its description.
    storage: NodeId,
    sizes_at: NodeId,
    strides_at: NodeId,
    offset_at: NodeId,
    offset: usize,
    sizes: Vec<i64>,
    strides: Vec<i64>,
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

/// Finds the tensors and the objects of a pickle.
struct Walk<'a> {
    tree: &'a Tree,
    tensors: Vec<StoredTensor>,
    instances: Vec<Instance>,
    nodes: Vec<NodeId>,
    paths: HashMap<String, usize>,
    integers: HashMap<(usize, String), NodeId>,
    by_node: HashMap<NodeId, usize>,
}

impl<'a> Walk<'a> {
    fn new(tree: &'a Tree) -> Self {
        Self {
            tree,
            tensors: Vec::new(),
            instances: Vec::new(),
            nodes: Vec::new(),
            paths: HashMap::new(),
            integers: HashMap::new(),
            by_node: HashMap::new(),
        }
    }

    /// `owner` is the instance that has this object as an attribute, and the attribute's name.
    fn object(&mut self, node: NodeId, path: String, owner: Option<(usize, &str)>) -> Result<(), NotPatched> {
        let Kind::Object { class, state } = self.tree.kind(node) else {
            return Err(NotPatched::new("`data.pkl` holds no module"));
        };
        let Kind::Global { module, name } = self.tree.kind(*class) else {
            return Err(NotPatched::new("`data.pkl` has an object without a class"));
        };
        let index = self.instances.len();
        self.instances.push(Instance { class: format!("{module}.{name}"), children: Vec::new() });
        self.nodes.push(node);
        self.by_node.insert(node, index);
        self.paths.insert(path.clone(), index);
        if let Some((owner, name)) = owner {
            self.instances[owner].children.push((name.to_owned(), index));
        }
        let Some(Kind::Dict(items)) = state.map(|state| self.tree.kind(state)) else { return Ok(()) };
        for item in items.chunks_exact(2) {
            let name = self.tree.text(item[0]).unwrap_or_default();
            let inner = if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
            if self.tree.integer(item[1]).is_some() {
                self.integers.insert((index, name.to_owned()), item[1]);
            }
            self.value(item[1], inner, Some((index, name)))?;
        }
        Ok(())
    }

    fn value(&mut self, node: NodeId, path: String, owner: Option<(usize, &str)>) -> Result<(), NotPatched> {
        if self.tree.is_reference(node) {
            // Was met at its first place; an object is an attribute of this owner too.
            if let (Some((owner, name)), Some(&index)) = (owner, self.by_node.get(&self.tree.behind(node))) {
                self.instances[owner].children.push((name.to_owned(), index));
            }
            return Ok(());
        }
        if let Some(arguments) = self.tree.call_of(node, &["_rebuild_tensor_v2"]) {
            return self.tensor(arguments, path);
        }
        let wrappers = ["restore_type_tag", "build_intlist", "build_doublelist", "build_boollist", "build_tensorlist"];
        if let Some(&[inner, ..]) = self.tree.call_of(node, &wrappers) {
            return self.value(inner, path, None);
        }
        match self.tree.kind(node) {
            Kind::Object { .. } => self.object(node, path, owner),
            Kind::Tuple(items) | Kind::List(items) => items
                .iter()
                .enumerate()
                .try_for_each(|(index, &item)| self.value(item, format!("{path}.{index}"), None)),
            Kind::Dict(items) => items.chunks_exact(2).try_for_each(|item| {
                let key = self.tree.text(item[0]).unwrap_or("entry");
                self.value(item[1], format!("{path}.{key}"), None)
            }),
            _ => Ok(()),
        }
    }

    fn tensor(&mut self, arguments: &[NodeId], name: String) -> Result<(), NotPatched> {
        let unknown = || NotPatched::new(format!("the tensor `{name}` is not described as PyTorch describes one"));
        let &[storage, offset_at, sizes_at, strides_at, ..] = arguments else { return Err(unknown()) };
        let offset = self.tree.integer(offset_at).and_then(|offset| usize::try_from(offset).ok());
        let (sizes, strides) = (self.tree.integers(sizes_at), self.tree.integers(strides_at));
        let (Some(offset), Some(sizes), Some(strides)) = (offset, sizes, strides) else { return Err(unknown()) };
        if sizes.len() != strides.len() {
            return Err(unknown());
        }
        self.tensors.push(StoredTensor { name, storage, sizes_at, strides_at, offset_at, offset, sizes, strides });
        Ok(())
    }
}

/// Parts of a pickle and what takes their place.
type Splices = Vec<(Range<usize>, Vec<u8>)>;

/// New elements by record, and what changes in the pickle.
#[derive(Debug, Default)]
struct Replaced {
    records: HashMap<String, Vec<u8>>,
    splices: Splices,
}

/// The description of a storage.
struct StoredElements {
    /// The node of its number of elements.
    count_at: NodeId,
    key: String,
    count: usize,
    dtype: StorageType,
    storage: String,
    device: String,
}

impl Pickle {
    fn replace(
        &self,
        tensors: &impl NewTensors,
        records: &Records<'_>,
        file: &mut File,
    ) -> Result<Replaced, NotPatched> {
        let mut by_storage: BTreeMap<NodeId, Vec<&StoredTensor>> = BTreeMap::new();
        for tensor in &self.tensors {
            by_storage.entry(self.tree.behind(tensor.storage)).or_default().push(tensor);
        }
        let mut replaced = Replaced::default();
        let mut next_key = self.first_free_key(records);
        for (node, views) in by_storage {
            let storage = self.storage(node)?;
            let new: Vec<Option<Vec<i64>>> = views.iter().map(|view| tensors.sizes(&view.name)).collect();
            if new.iter().all(Option::is_none) {
                continue;
            }
            let is_cut = views.iter().zip(&new).any(|(view, new)| new.as_ref().is_some_and(|new| *new != view.sizes));
            let first = views[0];
            let all_same = views.iter().all(|view| view.is_same_as(first));
            if all_same && first.covers(storage.count) {
                let size = new.into_iter().flatten().next().unwrap_or_default();
                let name =
                    views.iter().find(|view| tensors.sizes(&view.name).is_some()).map_or(&first.name, |v| &v.name);
                self.whole(&storage, &views, name, &size, tensors, &mut replaced)?;
            } else if is_cut {
                self.apart(&storage, &views, tensors, &mut next_key, &mut replaced)?;
            } else {
                let name = format!("{}/{}", self.folder, storage.key);
                let mut bytes = records.read(file, &name, u64::MAX)?;
                for view in &views {
                    if tensors.sizes(&view.name).is_some() {
                        view.scatter(
                            &tensors.elements(&view.name, &identity(view.sizes.len()))?,
                            &storage,
                            &mut bytes,
                        )?;
                    }
                }
                replaced.records.insert(name, bytes);
            }
        }
        Ok(replaced)
    }

    /// The views are one tensor, and the storage is its elements.
    fn whole(
        &self,
        storage: &StoredElements,
        views: &[&StoredTensor],
        name: &str,
        sizes: &[i64],
        tensors: &impl NewTensors,
        replaced: &mut Replaced,
    ) -> Result<(), NotPatched> {
        let order = views[0].order();
        let bytes = checked_elements(tensors, name, &order, sizes, storage)?;
        if sizes != views[0].sizes {
            let count = sizes.iter().product::<i64>();
            self.splice(storage.count_at, pickle::integer(count), replaced)?;
            for view in views {
                self.splice(view.sizes_at, pickle::integers(sizes), replaced)?;
                self.splice(view.strides_at, pickle::integers(&dense_strides(sizes, &order)), replaced)?;
            }
        }
        replaced.records.insert(format!("{}/{}", self.folder, storage.key), bytes);
        Ok(())
    }

    /// Views of one storage that are cut each for itself get storages of their own.
    fn apart(
        &self,
        storage: &StoredElements,
        views: &[&StoredTensor],
        tensors: &impl NewTensors,
        next_key: &mut u64,
        replaced: &mut Replaced,
    ) -> Result<(), NotPatched> {
        let first = views[0];
        for (number, view) in views.iter().enumerate() {
            let sizes = tensors.sizes(&view.name).ok_or_else(|| {
                NotPatched::new(format!("the tensor `{}` shares its memory with a part that is cut", view.name))
            })?;
            let order = view.order();
            let bytes = checked_elements(tensors, &view.name, &order, &sizes, storage)?;
            let count = sizes.iter().product::<i64>();
            self.splice(view.offset_at, pickle::integer(0), replaced)?;
            self.splice(view.sizes_at, pickle::integers(&sizes), replaced)?;
            self.splice(view.strides_at, pickle::integers(&dense_strides(&sizes, &order)), replaced)?;
            if number == 0 {
                self.splice(storage.count_at, pickle::integer(count), replaced)?;
                replaced.records.insert(format!("{}/{}", self.folder, storage.key), bytes);
            } else if view.is_same_as(first) {
                // Refers to the first one's storage.
            } else if views[..number].iter().any(|other| view.is_same_as(other)) {
                return Err(NotPatched::new(format!("the tensor `{}` is tied to a part of another one", view.name)));
            } else {
                let key = next_key.to_string();
                *next_key += 1;
                let description = [
                    b"(".to_vec(),
                    pickle::text("storage"),
                    format!("ctorch\n{}\n", storage.storage).into_bytes(),
                    pickle::text(&key),
                    pickle::text(&storage.device),
                    pickle::integer(count),
                    b"tQ".to_vec(),
                ];
                self.splice(view.storage, description.concat(), replaced)?;
                replaced.records.insert(format!("{}/{key}", self.folder), bytes);
            }
        }
        Ok(())
    }

    fn splice(&self, node: NodeId, bytes: Vec<u8>, replaced: &mut Replaced) -> Result<(), NotPatched> {
        if self.tree.is_memoised(node) && self.tree.is_referred_to(node) {
            return Err(NotPatched::new(format!("`{}` refers more than once to what describes a tensor", self.record)));
        }
        replaced.splices.push((self.tree.span(node), bytes));
        Ok(())
    }

    fn storage(&self, node: NodeId) -> Result<StoredElements, NotPatched> {
        let unknown =
            || NotPatched::new(format!("`{}` has a storage that is not described as PyTorch does", self.record));
        let Kind::Persistent(description) = self.tree.kind(node) else { return Err(unknown()) };
        let Kind::Tuple(items) = self.tree.kind(*description) else { return Err(unknown()) };
        let &[_, kind, key, device, count_at] = items.as_slice() else { return Err(unknown()) };
        let Kind::Global { name: storage, .. } = self.tree.kind(kind) else { return Err(unknown()) };
        let parts = (
            StorageType::of_storage(storage),
            self.tree.text(key),
            self.tree.text(device),
            self.tree.integer(count_at).and_then(|count| usize::try_from(count).ok()),
        );
        let (Some(dtype), Some(key), Some(device), Some(count)) = parts else { return Err(unknown()) };
        let (key, device, storage) = (key.to_owned(), device.to_owned(), storage.clone());
        Ok(StoredElements { count_at, key, count, dtype, storage, device })
    }

    fn first_free_key(&self, records: &Records<'_>) -> u64 {
        let keys = records.names().filter_map(|name| name.strip_prefix(self.folder)?.strip_prefix('/')?.parse().ok());
        keys.max().map_or(0, |key: u64| key.saturating_add(1))
    }
}

impl StoredTensor {
    fn is_same_as(&self, other: &Self) -> bool {
        (self.offset, &self.sizes, &self.strides) == (other.offset, &other.sizes, &other.strides)
    }

    /// Dimensions from the outermost to the innermost in memory.
    fn order(&self) -> Vec<usize> {
        let mut order = identity(self.sizes.len());
        order.sort_by_key(|&dim| std::cmp::Reverse(self.strides[dim]));
        order
    }

    /// Whether the elements of a storage are those of the tensor, each once.
    fn covers(&self, elements: usize) -> bool {
        let mut expected = 1;
        let is_dense = self.order().into_iter().rev().all(|dim| {
            let fits = self.sizes[dim] <= 1 || self.strides[dim] == expected;
            expected *= self.sizes[dim].max(1);
            fits
        });
        is_dense && self.offset == 0 && self.sizes.iter().product::<i64>() == elements as i64
    }

    /// Writes the elements, in row-major order, to where the tensor has them in its storage.
    fn scatter(&self, elements: &[u8], storage: &StoredElements, target: &mut [u8]) -> Result<(), NotPatched> {
        let width = storage.dtype.bytes() as usize;
        let mut index = vec![0_i64; self.sizes.len()];
        for element in elements.chunks_exact(width) {
            let steps: i64 = index.iter().zip(&self.strides).map(|(index, stride)| index * stride).sum();
            let start = (self.offset + steps as usize) * width;
            let slot = target.get_mut(start..start + width);
            slot.ok_or_else(|| NotPatched::new(format!("the tensor `{}` is larger than its storage", self.name)))?
                .copy_from_slice(element);
            for dim in (0..index.len()).rev() {
                index[dim] += 1;
                if index[dim] < self.sizes[dim] {
                    break;
                }
                index[dim] = 0;
            }
        }
        Ok(())
    }
}

fn checked_elements(
    tensors: &impl NewTensors,
    name: &str,
    order: &[usize],
    sizes: &[i64],
    storage: &StoredElements,
) -> Result<Vec<u8>, NotPatched> {
    let bytes = tensors.elements(name, order)?;
    let expected = sizes.iter().product::<i64>() as u64 * storage.dtype.bytes();
    if bytes.len() as u64 != expected || sizes.len() != order.len() {
        return Err(NotPatched::new(format!("the tensor `{name}` has {} bytes instead of {expected}", bytes.len())));
    }
    Ok(bytes)
}

fn identity(dimensions: usize) -> Vec<usize> {
    (0..dimensions).collect()
}

fn dense_strides(sizes: &[i64], order: &[usize]) -> Vec<i64> {
    let mut strides = vec![1; sizes.len()];
    let mut stride = 1;
    for &dim in order.iter().rev() {
        strides[dim] = stride;
        stride *= sizes[dim].max(1);
    }
    strides
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
