//! The tensors of a pickle: where they are described, and what replaces descriptions and elements.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::ops::Range;

use super::super::record::Records;
use super::pickle::{self, Kind, NodeId, Tree};
use super::{NewTensors, NotPatched};
use crate::untrusted::pickle::StorageType;

/// Parts of a pickle and what takes their place.
pub(super) type Splices = Vec<(Range<usize>, Vec<u8>)>;
/// A pickle with its tensors.
#[derive(Debug)]
pub(super) struct Pickle {
    pub record: &'static str,
    pub folder: &'static str,
    pub tree: Tree,
    pub tensors: Vec<StoredTensor>,
}
/// A tensor as a pickle describes it.
#[derive(Debug)]
pub(super) struct StoredTensor {
    pub name: String,
    /// The nodes of its description.
    pub storage: NodeId,
    pub sizes_at: NodeId,
    pub strides_at: NodeId,
    pub offset_at: NodeId,
    pub offset: usize,
    pub sizes: Vec<i64>,
    pub strides: Vec<i64>,
}
/// New elements by record, and what changes in the pickle.
#[derive(Debug, Default)]
pub(super) struct Replaced {
    pub records: HashMap<String, Vec<u8>>,
    pub splices: Splices,
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
    /// What changes so that the pickle has the new tensors.
    pub(super) fn replace(
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
