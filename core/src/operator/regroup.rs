//! What becomes of channels when dimensions are merged, taken apart, or both.
//!
//! Every flat position of a block carries the element that its input coordinates name, or the conjunction of several
//! where dimensions of channels are merged. The output dimensions are found from that list, most freedom first:
//! 1. The list is already a product of output dimensions (heads and head dimensions that were merged come apart again): each
//!    output index carries what its slice has in common.
//! 2. The positions are channels that nothing relates yet (the output of a linear layer that is viewed as heads): each position
//!    becomes the conjunction of new channels, one per output dimension.
//! 3. Otherwise one output dimension takes the channels over, those of each of its slices unified; of several that could,
//!    the one with the most independent slices.

use std::collections::{HashMap, HashSet};

use crate::axes::{Axes, Cause, Dim, Element, Reason, Split};

/// Blocks with more positions than this are not followed; their channels become unprunable.
const MAX_POSITIONS: usize = 1 << 26;

/// The output dimensions of one block. The sizes are those of one sample.
pub(super) fn regroup(axes: &mut Axes, ins: &[Dim], in_sizes: &[usize], out_sizes: &[usize]) -> Vec<Dim> {
    let carriers = carriers(axes, ins, in_sizes);
    let fixed = vec![Dim::Fixed(fixed_reason(axes, ins)); out_sizes.len()];
    if carriers.is_empty() {
        return fixed;
    }
    let significant = |sizes: &[usize]| sizes.iter().filter(|&&size| size > 1).count();
    if let ([carrier], 1) = (&carriers[..], significant(in_sizes))
        && let Some(same) = out_sizes.iter().position(|&size| size == in_sizes[*carrier])
    {
        // Only dimensions of size one come or go.
        let mut outs = fixed;
        outs[same] = ins[*carrier].clone();
        return outs;
    }
    let positions: usize = in_sizes.iter().product();
    if positions > MAX_POSITIONS {
        let reason = axes.reason(Cause::ReshapedTooLarge { positions });
        for dim in ins {
            axes.freeze(dim, reason);
        }
        return fixed;
    }
    if out_sizes.is_empty() {
        // A single channel is squeezed away; it is the last of its group anyway.
        for dim in ins {
            axes.freeze(dim, Reason::NOT_A_CHANNEL);
        }
        return fixed;
    }
    let block = Block::new(flatten(axes, ins, in_sizes, &carriers), out_sizes);
    if let [dim] = block.told_apart_by(axes)[..] {
        let mut outs = fixed;
        outs[dim] =
            Dim::Channels((0..out_sizes[dim]).map(|index| block.elements[index * block.strides[dim]]).collect());
        return outs;
    }
    let found = as_product(axes, &block).or_else(|| as_new_channels(axes, &block));
    let found = found.unwrap_or_else(|| as_one_dimension(axes, &block));
    fixed.into_iter().zip(found).map(|(fixed, dim)| dim.unwrap_or(fixed)).collect()
}

/// Dimensions that can be cut. One of a single index beside others cannot.
fn carriers(axes: &mut Axes, ins: &[Dim], in_sizes: &[usize]) -> Vec<usize> {
    let can_be_cut = |axes: &Axes, dim: &Dim| match dim {
        Dim::Channels(elements) => elements.iter().any(|&element| axes.frozen(element).is_none()),
        Dim::Fixed(_) => false,
    };
    let mut carriers: Vec<usize> = (0..ins.len()).filter(|&dim| can_be_cut(axes, &ins[dim])).collect();
    if carriers.iter().any(|&dim| in_sizes[dim] > 1) {
        carriers.retain(|&dim| {
            if in_sizes[dim] == 1 {
                axes.freeze(&ins[dim], Reason::NOT_A_CHANNEL);
            }
            in_sizes[dim] > 1
        });
    }
    carriers
}

/// Why output dimensions without channels cannot be cut.
fn fixed_reason(axes: &Axes, ins: &[Dim]) -> Reason {
    let reasons = ins.iter().filter_map(|dim| match dim {
        Dim::Fixed(reason) => Some(*reason),
        Dim::Channels(elements) => elements.iter().find_map(|&element| axes.frozen(element)),
    });
    reasons.into_iter().find(|reason| reason.is_news()).unwrap_or(Reason::NOT_A_CHANNEL)
}

/// The element at every position; conjunctions are made once for each combination of channels.
fn flatten(axes: &mut Axes, ins: &[Dim], in_sizes: &[usize], carriers: &[usize]) -> Vec<Element> {
    let carried: Vec<(usize, &[Element])> = carriers
        .iter()
        .map(|&dim| {
            let Dim::Channels(elements) = &ins[dim] else { unreachable!("carriers are channel dimensions") };
            (in_sizes[dim + 1..].iter().product(), &elements[..])
        })
        .collect();
    let at =
        |position: usize| carried.iter().map(move |&(stride, elements)| elements[(position / stride) % elements.len()]);
    let positions = 0..in_sizes.iter().product();
    if carried.len() == 1 {
        return positions.flat_map(at).collect();
    }
    let mut made: HashMap<Vec<Element>, Element> = HashMap::new();
    positions
        .map(|position| {
            let together: Vec<Element> = at(position).collect();
            *made.entry(together).or_insert_with_key(|together| axes.conjunction(together))
        })
        .collect()
}

/// The elements of a block in order of position, and how its output dimensions index them.
struct Block<'a> {
    elements: Vec<Element>,
    sizes: &'a [usize],
    strides: Vec<usize>,
}

impl<'a> Block<'a> {
    fn new(elements: Vec<Element>, sizes: &'a [usize]) -> Self {
        let strides = (0..sizes.len()).map(|dim| sizes[dim + 1..].iter().product()).collect();
        Self { elements, sizes, strides }
    }

    fn index(&self, dim: usize, position: usize) -> usize {
        position / self.strides[dim] % self.sizes[dim]
    }

    /// Output dimensions along which the element changes.
    fn told_apart_by(&self, axes: &Axes) -> Vec<usize> {
        let classes: Vec<Element> = self.elements.iter().map(|&element| axes.class(element)).collect();
        let changes = |dim: usize| {
            (0..classes.len())
                .any(|position| classes[position] != classes[position - self.index(dim, position) * self.strides[dim]])
        };
        (0..self.sizes.len()).filter(|&dim| changes(dim)).collect()
    }
}

type Found = Vec<Option<Dim>>;

/// Every position's atoms are those that its slices have in common, one slice for each dimension.
fn as_product(axes: &mut Axes, block: &Block<'_>) -> Option<Found> {
    let atoms: Vec<Vec<Element>> = block
        .elements
        .iter()
        .map(|&element| {
            let mut atoms = axes.atoms(element);
            atoms.retain(|&atom| axes.frozen(atom).is_none());
            atoms
        })
        .collect();
    let mut common: Vec<Vec<Option<Vec<Element>>>> = block.sizes.iter().map(|&size| vec![None; size]).collect();
    for (position, atoms) in atoms.iter().enumerate() {
        for (dim, slices) in common.iter_mut().enumerate() {
            match &mut slices[block.index(dim, position)] {
                Some(common) => common.retain(|atom| atoms.contains(atom)),
                empty => *empty = Some(atoms.clone()),
            }
        }
    }
    let is_product = atoms.iter().enumerate().all(|(position, atoms)| {
        atoms.iter().all(|atom| {
            let in_slice =
                |dim: usize| common[dim][block.index(dim, position)].as_ref().is_some_and(|c| c.contains(atom));
            (0..block.sizes.len()).any(in_slice)
        })
    });
    if !is_product {
        return None;
    }
    let mut dim_of = |slices: Vec<Option<Vec<Element>>>| {
        if slices.iter().flatten().all(Vec::is_empty) {
            return None;
        }
        let always = axes.fresh(1);
        axes.freeze(&always, Reason::NOT_A_CHANNEL);
        let always = axes.elements(&always, 1)[0];
        let of = |atoms: Vec<Element>| if atoms.is_empty() { always } else { axes.conjunction(&atoms) };
        Some(Dim::Channels(slices.into_iter().flatten().map(of).collect()))
    };
    // A dimension of one index has in common with the others all that all have in common; the others say it too.
    Some(
        common
            .into_iter()
            .zip(block.sizes)
            .map(|(slices, &size)| if size > 1 { dim_of(slices) } else { None })
            .collect(),
    )
}

/// Positions of unrelated channels become conjunctions of new ones.
fn as_new_channels(axes: &mut Axes, block: &Block<'_>) -> Option<Found> {
    let mut seen = HashSet::new();
    let unrelated = block.elements.iter().all(|&element| {
        let is_atom = axes.atoms(element).len() == 1;
        is_atom && axes.frozen(element).is_none() && seen.insert(axes.class(element))
    });
    if !unrelated {
        return None;
    }
    let found: Found = block.sizes.iter().map(|&size| (size > 1).then(|| axes.fresh(size))).collect();
    let factors: Vec<Vec<Element>> = found
        .iter()
        .zip(block.sizes)
        .map(|(dim, &size)| dim.as_ref().map(|dim| axes.elements(dim, size).to_vec()).unwrap_or_default())
        .collect();
    for (position, &element) in block.elements.iter().enumerate() {
        let meets = factors.iter().enumerate().filter(|(_, factor)| !factor.is_empty());
        let parts: Vec<Element> = meets.map(|(dim, factor)| factor[block.index(dim, position)]).collect();
        let together = axes.conjunction(&parts);
        axes.unify_elements(element, together);
    }
    axes.split(Split { factors: factors.into_iter().filter(|factor| !factor.is_empty()).collect() });
    Some(found)
}

/// The dimension with the most independent slices takes the channels over.
fn as_one_dimension(axes: &mut Axes, block: &Block<'_>) -> Found {
    let slices_of = |dim: usize| {
        let mut slices: Vec<Vec<Element>> = vec![Vec::new(); block.sizes[dim]];
        let mut seen = HashSet::new();
        for (position, &element) in block.elements.iter().enumerate() {
            let index = block.index(dim, position);
            if seen.insert((index, element)) {
                slices[index].push(element);
            }
        }
        slices
    };
    let mut best: Option<(usize, Vec<Vec<Element>>, usize)> = None;
    for dim in 0..block.sizes.len() {
        let slices = slices_of(dim);
        let independent = independent_slices(&slices);
        if best.as_ref().is_none_or(|(_, _, most)| independent > *most) {
            best = Some((dim, slices, independent));
        }
    }
    let (dim, slices, _) = best.expect("there is at least one output dimension");
    let mut labels = Vec::with_capacity(slices.len());
    for slice in &slices {
        let (&first, rest) = slice.split_first().expect("every slice has at least one position");
        for &other in rest {
            axes.unify_elements(first, other);
        }
        labels.push(first);
    }
    let mut found: Found = vec![None; block.sizes.len()];
    found[dim] = Some(Dim::Channels(labels.into()));
    found
}

/// How many classes of channels remain when each slice's channels are unified.
fn independent_slices(slices: &[Vec<Element>]) -> usize {
    fn find(parent: &mut HashMap<Element, Element>, element: Element) -> Element {
        let up = *parent.entry(element).or_insert(element);
        if up == element {
            return element;
        }
        let root = find(parent, up);
        parent.insert(element, root);
        root
    }
    let mut parent: HashMap<Element, Element> = HashMap::new();
    for slice in slices {
        let root = find(&mut parent, slice[0]);
        for &element in &slice[1..] {
            let other = find(&mut parent, element);
            parent.insert(other, root);
        }
    }
    let elements: Vec<Element> = parent.keys().copied().collect();
    elements.into_iter().filter(|&element| find(&mut parent, element) == element).count()
}
