//! Elements, and when they are kept.
//!
//! An element is one index of one dimension of one tensor. Operators unify elements that must live or die together, so a *class*
//! of elements is kept or cut as one. A class is an **atom**, which is a channel (or part of one) that may be cut by
//! itself, or a **conjunction** of atoms: kept exactly while all its atoms are. Conjunctions come from dimensions
//! that are merged: in `[heads, head_dim] → heads · head_dim` the index of (i, j) goes when head i goes or when head
//! dimension j goes.
//!
//! The invariant that everything rests on: *every element stands for one set of atoms, and every step either lists elements
//! anew or makes two sets equal.* Sets are made equal by unifying, defining or freezing atoms, all of which only
//! take freedom away; so whatever order the steps come in, each configuration that the result allows satisfies every step.
//! A poor choice of a step costs freedom, never correctness.

use std::rc::Rc;

use super::reason::Reason;

/// One index of one dimension of one tensor.
pub type Element = u32;

/// Union-find over elements, in which a class may be a conjunction of others.
#[derive(Debug, Default)]
pub(super) struct Elements {
    parent: Vec<Element>,
    /// For the root of a conjunction, its parts, outermost dimension first. Never cyclic.
    parts: Vec<Option<Rc<[Element]>>>,
    /// For the root of an atom, why it cannot be cut.
    frozen: Vec<Option<Reason>>,
    /// The dimension that it was made for, by a number of its own.
    origin: Vec<u32>,
    dimensions: u32,
}

impl Elements {
    pub(super) fn len(&self) -> usize {
        self.parent.len()
    }

    /// New atoms for a dimension of this size.
    pub(super) fn dimension(&mut self, size: usize) -> Rc<[Element]> {
        self.dimensions += 1;
        (0..size).map(|_| self.push(None)).collect()
    }

    fn push(&mut self, parts: Option<Rc<[Element]>>) -> Element {
        let element = self.parent.len() as Element;
        self.parent.push(element);
        self.parts.push(parts);
        self.frozen.push(None);
        self.origin.push(self.dimensions);
        element
    }

    /// The dimension that the first element of a class was made for.
    pub(super) fn origin(&self, class: Element) -> u32 {
        self.origin[class as usize]
    }

    /// An element that is kept exactly while all of these are.
    ///
    /// # Panics
    /// When there are none.
    pub(super) fn conjunction(&mut self, of: &[Element]) -> Element {
        let mut atoms = Vec::with_capacity(of.len());
        for &part in of {
            self.collect(part, &mut atoms);
        }
        if let [single] = atoms[..] {
            return single;
        }
        assert!(!atoms.is_empty(), "a conjunction has parts");
        self.push(Some(atoms.into()))
    }

    /// The class of an element, named by one of its elements.
    pub(super) fn class(&self, element: Element) -> Element {
        let mut at = element;
        while self.parent[at as usize] != at {
            at = self.parent[at as usize];
        }
        at
    }

    /// The atoms of an element, by class, each once; outermost dimension first.
    pub(super) fn atoms(&self, element: Element) -> Vec<Element> {
        let mut atoms = Vec::new();
        self.collect(element, &mut atoms);
        atoms
    }

    pub(super) fn collect(&self, element: Element, atoms: &mut Vec<Element>) {
        let class = self.class(element);
        match &self.parts[class as usize] {
            Some(parts) => parts.iter().for_each(|&part| self.collect(part, atoms)),
            None if atoms.contains(&class) => {}
            None => atoms.push(class),
        }
    }

    /// Why an element is always kept: all its atoms are.
    pub(super) fn frozen(&self, element: Element) -> Option<Reason> {
        let class = self.class(element) as usize;
        match &self.parts[class] {
            None => self.frozen[class],
            Some(parts) => {
                let mut reasons = parts.iter().map(|&part| self.frozen(part));
                let first = reasons.next()?;
                if reasons.all(|reason| reason.is_some()) { first } else { None }
            }
        }
    }

    pub(super) fn freeze(&mut self, element: Element, reason: Reason) {
        let class = self.compress(element) as usize;
        match self.parts[class].clone() {
            None => {
                self.frozen[class].get_or_insert(reason);
            }
            Some(parts) => parts.iter().for_each(|&part| self.freeze(part, reason)),
        }
    }

    /// Makes two elements live and die together.
    pub(super) fn unify(&mut self, a: Element, b: Element) {
        let (a, b) = (self.compress(a), self.compress(b));
        if a == b {
            return;
        }
        if self.parts[a as usize].is_some() || self.parts[b as usize].is_some() {
            self.equate(a, b);
        }
        self.link(a, b);
    }

    /// Makes the sets of two classes, one of them a conjunction at least, equal.
    fn equate(&mut self, a: Element, b: Element) {
        let (left, right) = (self.atoms(a), self.atoms(b));
        let mut only_left: Vec<Element> = left.iter().copied().filter(|atom| !right.contains(atom)).collect();
        let mut only_right: Vec<Element> = right.iter().copied().filter(|atom| !left.contains(atom)).collect();
        if only_left.len() != only_right.len() {
            // What is always kept needs no partner.
            only_left.retain(|&atom| self.frozen(atom).is_none());
            only_right.retain(|&atom| self.frozen(atom).is_none());
        }
        let (short, long) =
            if only_left.len() <= only_right.len() { (only_left, only_right) } else { (only_right, only_left) };
        let Some((&last, paired)) = short.split_last() else {
            // One set holds the other: what it has more can only stay.
            let reason = self.frozen(a).or(self.frozen(b)).unwrap_or(Reason::DIVIDED_DIFFERENTLY);
            for atom in long {
                self.freeze(atom, reason);
            }
            return;
        };
        // Dimension by dimension from the outermost; the last of the shorter set stands for all that is left.
        for (&one, &other) in paired.iter().zip(&long) {
            self.link(one, other);
        }
        match long[paired.len()..] {
            [single] => self.link(last, single),
            ref several => match self.frozen[last as usize] {
                Some(reason) => several.iter().for_each(|&atom| self.freeze(atom, reason)),
                None => self.parts[last as usize] = Some(several.into()),
            },
        }
    }

    /// Joins two classes whose sets are equal, or two atoms.
    fn link(&mut self, a: Element, b: Element) {
        let (a, b) = (self.compress(a), self.compress(b));
        if a == b {
            return;
        }
        let (root, child) = if a < b { (a as usize, b as usize) } else { (b as usize, a as usize) };
        self.parent[child] = root as Element;
        if self.parts[child].is_none() {
            // The other set is the same one, perhaps with atoms that are frozen.
            self.parts[root] = None;
        }
        let reason = self.frozen[root].or(self.frozen[child]);
        self.frozen[root] = reason;
    }

    /// Like [`Self::class`], with path halving.
    fn compress(&mut self, element: Element) -> Element {
        let mut at = element;
        while self.parent[at as usize] != at {
            let grandparent = self.parent[self.parent[at as usize] as usize];
            self.parent[at as usize] = grandparent;
            at = grandparent;
        }
        at
    }
}
