//! From the dimension analysis to groups: classes of elements become channels, channels of one kind a group.

use std::collections::{BTreeMap, HashMap};

use super::axes::{Axes, Dim, Element};
use crate::graph::{Graph, ValueId};
use crate::operator;

/// Whose axis a member is.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Owner {
    Parameter {
        name: String,
        axis: usize,
    },
    /// A dimension of an activation whose size enters a cost.
    Activation {
        value: ValueId,
        axis: usize,
    },
}

/// An axis of a tensor that shrinks with a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    pub owner: Owner,
    /// Indices that one channel takes.
    pub multiplicity: usize,
    /// The indices, channel by channel, ascending inside each.
    pub indices: Vec<u32>,
}

impl Member {
    /// The indices of one channel on this axis.
    pub fn of_channel(&self, channel: usize) -> &[u32] {
        &self.indices[channel * self.multiplicity..(channel + 1) * self.multiplicity]
    }
}

/// Channels that are of one kind: cutting any of them removes the same number of indices from the same axes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// Its first producing layer's name, unique.
    pub name: String,
    channels: usize,
    pub members: Vec<Member>,
}

impl Group {
    pub fn channels(&self) -> usize {
        self.channels
    }

    /// The axes of parameters that shrink with it, `layer1.0.conv1.weight:0`.
    pub fn tensors(&self) -> Vec<String> {
        self.members
            .iter()
            .filter_map(|member| match &member.owner {
                Owner::Parameter { name, axis } => Some(format!("{name}:{axis}")),
                Owner::Activation { .. } => None,
            })
            .collect()
    }
}

/// Channels that nothing may cut, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frozen {
    pub reason: String,
    pub channels: usize,
    pub owners: Vec<Owner>,
}

/// A dimension's size as a linear form in the groups' widths: `constant + Σ multiplicity · width`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Width {
    pub constant: u64,
    /// Group index and indices per channel, by group, ascending.
    pub terms: Vec<(usize, u64)>,
}

impl Width {
    pub fn at(&self, widths: &[usize]) -> u64 {
        self.constant + self.terms.iter().map(|&(group, multiplicity)| multiplicity * widths[group] as u64).sum::<u64>()
    }
}

/// The coupled groups of a graph, and the analysis that they came from.
#[derive(Debug)]
pub struct Grouping {
    groups: Vec<Group>,
    frozen: Vec<Frozen>,
    axes: Axes,
    /// Class of elements to its group and channel.
    place: HashMap<Element, (usize, usize)>,
}

impl Grouping {
    /// Finds the coupled groups of a graph.
    pub fn of(graph: &Graph) -> Self {
        let axes = Axes::analyse(graph);

        // Which axes each class cuts, and where; a BTreeMap keeps the order of parameters and of their indices.
        let owners = owners(graph);
        let mut by_class: BTreeMap<Element, Vec<(usize, u32)>> = BTreeMap::new();
        for (number, (_, value, axis)) in owners.iter().enumerate() {
            if let Dim::Channels(elements) = &axes.dims(*value)[*axis] {
                for (index, &element) in elements.iter().enumerate() {
                    by_class.entry(axes.class(element)).or_default().push((number, index as u32));
                }
            }
        }

        let mut kinds: HashMap<Kind, usize> = HashMap::new();
        let mut collected: Vec<Collected> = Vec::new();
        for (&class, places) in &by_class {
            let mut counts: Vec<(usize, usize)> = Vec::new();
            for &(owner, _) in places {
                match counts.last_mut() {
                    Some((last, count)) if *last == owner => *count += 1,
                    _ => counts.push((owner, 1)),
                }
            }
            let frozen = axes.frozen(class);
            let kind = *kinds.entry((frozen, counts)).or_insert_with_key(|(frozen, counts)| {
                collected.push(Collected { frozen: *frozen, counts: counts.clone(), classes: Vec::new() });
                collected.len() - 1
            });
            collected[kind].classes.push((class, places));
        }

        let mut grouping = Self { groups: Vec::new(), frozen: Vec::new(), axes, place: HashMap::new() };
        for kind in collected {
            grouping.add(kind, &owners);
        }
        grouping.name_groups(graph);
        grouping
    }

    fn add(&mut self, kind: Collected<'_>, owners: &[(Owner, ValueId, usize)]) {
        let owner = |number: usize| owners[number].0.clone();
        let cuts_a_parameter = |number: &(usize, usize)| matches!(owners[number.0].0, Owner::Parameter { .. });
        if let Some(reason) = kind.frozen {
            if reason.is_news() {
                self.frozen.push(Frozen {
                    reason: self.axes.text(reason).to_owned(),
                    channels: kind.classes.len(),
                    owners: kind.counts.iter().map(|&(number, _)| owner(number)).collect(),
                });
            }
            return;
        }
        // A parameter that no node reads is no channel of anything.
        if !kind.counts.iter().any(cuts_a_parameter) || kind.counts.len() < 2 {
            return;
        }
        let group = self.groups.len();
        let mut members: Vec<Member> = kind
            .counts
            .iter()
            .map(|&(number, multiplicity)| Member { owner: owner(number), multiplicity, indices: Vec::new() })
            .collect();
        for (channel, (class, places)) in kind.classes.iter().enumerate() {
            self.place.insert(*class, (group, channel));
            let mut places = places.iter();
            for member in &mut members {
                member.indices.extend(places.by_ref().take(member.multiplicity).map(|&(_, index)| index));
            }
        }
        self.groups.push(Group { name: String::new(), channels: kind.classes.len(), members });
    }

    /// A group is called after the first layer that produces its channels.
    fn name_groups(&mut self, graph: &Graph) {
        let layer_of = |parameter: &str| {
            graph.nodes().iter().find(|node| {
                node.inputs().into_iter().any(|value| graph.as_parameter(value).is_some_and(|p| p.name == parameter))
            })
        };
        let mut used: HashMap<String, usize> = HashMap::new();
        for group in &mut self.groups {
            let parameters = group.members.iter().filter_map(|member| match &member.owner {
                Owner::Parameter { name, axis } => Some((name, *axis)),
                Owner::Activation { .. } => None,
            });
            let first = parameters.clone().find(|&(_, axis)| axis == 0).or_else(|| parameters.clone().next());
            let (parameter, _) = first.expect("a group cuts at least one parameter");
            let name = layer_of(parameter).map_or_else(|| parameter.clone(), |node| node.name.clone());
            let count = used.entry(name.clone()).or_default();
            *count += 1;
            group.name = if *count == 1 { name } else { format!("{name}#{count}") };
        }
    }

    /// Prunable groups, ordered by their first channel's first appearance in the parameters.
    pub fn groups(&self) -> &[Group] {
        &self.groups
    }

    /// Channels that nothing may cut, with a reason that is worth telling.
    pub fn frozen(&self) -> &[Frozen] {
        &self.frozen
    }

    pub fn axes(&self) -> &Axes {
        &self.axes
    }

    /// Channels of all groups.
    pub fn channels(&self) -> u64 {
        self.groups.iter().map(|group| group.channels as u64).sum()
    }

    /// Group and channel of an element; `None` when it is frozen.
    pub fn place(&self, element: Element) -> Option<(usize, usize)> {
        self.place.get(&self.axes.class(element)).copied()
    }

    /// The size of a value's dimension as a linear form in the groups' widths.
    pub fn width(&self, graph: &Graph, value: ValueId, axis: usize) -> Width {
        let mut width = Width::default();
        match &self.axes.dims(value)[axis] {
            Dim::Fixed(_) => width.constant = graph.value(value).shape[axis].at_batch(1) as u64,
            Dim::Channels(elements) => {
                let mut counts: BTreeMap<usize, u64> = BTreeMap::new();
                for &element in elements.iter() {
                    match self.place(element) {
                        Some((group, _)) => *counts.entry(group).or_default() += 1,
                        None => width.constant += 1,
                    }
                }
                for (group, count) in counts {
                    let channels = self.groups[group].channels as u64;
                    debug_assert_eq!(count % channels, 0, "channels of a group take the same room everywhere");
                    width.terms.push((group, count / channels));
                }
            }
        }
        width
    }
}

/// What the channels of one group have in common: why they are frozen, and how many indices of which owners each takes.
type Kind = (Option<super::Reason>, Vec<(usize, usize)>);

struct Collected<'a> {
    frozen: Option<super::Reason>,
    counts: Vec<(usize, usize)>,
    classes: Vec<(Element, &'a Vec<(usize, u32)>)>,
}

/// Every axis by which channels are told apart: those of parameters, and those of activations that enter a cost.
fn owners(graph: &Graph) -> Vec<(Owner, ValueId, usize)> {
    let mut owners = Vec::new();
    for parameter in graph.parameters().iter().filter(|parameter| parameter.tied_to.is_none()) {
        for axis in 0..graph.value(parameter.value).shape.len() {
            owners.push((Owner::Parameter { name: parameter.name.clone(), axis }, parameter.value, axis));
        }
    }
    for node in graph.nodes() {
        let macs = operator::of(node).and_then(|operator| operator.macs(node, graph));
        for (value, axis) in macs.into_iter().flat_map(|macs| macs.dims) {
            if graph.as_parameter(value).is_none() {
                owners.push((Owner::Activation { value, axis }, value, axis));
            }
        }
    }
    owners
}
