//! The tensors and the objects of a pickle, by the names that users know.

use std::collections::HashMap;

use super::NotPatched;
use super::code::Instance;
use super::pickle::{Kind, NodeId, Tree};
use super::tensors::StoredTensor;

/// Finds the tensors and the objects of a pickle.
pub(super) struct Walk<'a> {
    tree: &'a Tree,
    pub tensors: Vec<StoredTensor>,
    pub instances: Vec<Instance>,
    pub nodes: Vec<NodeId>,
    pub paths: HashMap<String, usize>,
    pub integers: HashMap<(usize, String), NodeId>,
    by_node: HashMap<NodeId, usize>,
}

impl<'a> Walk<'a> {
    pub(super) fn new(tree: &'a Tree) -> Self {
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
    pub(super) fn object(
        &mut self,
        node: NodeId,
        path: String,
        owner: Option<(usize, &str)>,
    ) -> Result<(), NotPatched> {
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

    pub(super) fn value(&mut self, node: NodeId, path: String, owner: Option<(usize, &str)>) -> Result<(), NotPatched> {
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
