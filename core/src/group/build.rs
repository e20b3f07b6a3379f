//! From the dimension analysis to groups: classes of elements become channels, channels of one kind a group.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::rc::Rc;

use super::analysis::analyse;
use super::width::{Width, WidthTerm};
use crate::axes::{Axes, Dim, Element, Reason, Remaining};
use crate::graph::{Graph, Node, Producer, ValueId};
use crate::operator;

/// Whose axis a member is.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Owner {
    /// A dimension of a parameter.
    Parameter {
        /// The parameter's name.
        name: String,
        /// The dimension.
        axis: usize,
    },
    /// A dimension of an activation whose size enters a cost, or that must not become empty.
    Activation {
        /// The activation.
        value: ValueId,
        /// The dimension.
        axis: usize,
    },
}

/// An axis of a tensor that shrinks with a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Whose axis it is.
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
    /// The axes that shrink with it, each once.
    pub members: Vec<Member>,
}

impl Group {
    /// How many channels it has uncut.
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
    /// Its first producing layer's name, as of a [`Group`]; other groups may have the same.
    pub name: String,
    /// Why they cannot be cut; [`Axes::cause`] says it in words.
    pub reason: Reason,
    /// How many they are.
    pub channels: usize,
    /// The axes that hold them.
    pub owners: Vec<Owner>,
}

/// A channel of a group, by their indices.
pub type Place = (usize, usize);

/// The coupled groups of a graph, and the analysis that they came from.
#[derive(Debug)]
pub struct Grouping {
    groups: Vec<Group>,
    frozen: Vec<Frozen>,
    axes: Axes,
    /// For each element the channels that it is kept with; those of one class share them.
    places: Vec<Rc<[Place]>>,
}

impl Grouping {
    /// Finds the coupled groups of a graph.
    pub fn of(graph: &Graph) -> Self {
        let axes = analyse(graph);
        let owners = owners(graph);
        let channels = channels(&axes, &owners);
        let mut grouping = Self { groups: Vec::new(), frozen: Vec::new(), axes, places: Vec::new() };
        // Where the groups that meet in a dimension do not meet in all combinations, one of them stays whole; then the
        // others are grouped anew.
        let mut whole: HashMap<Element, Reason> = HashMap::new();
        loop {
            let place = grouping.collect(&channels, &owners, &whole);
            let found = grouping.incomplete_products(&owners);
            if found.is_empty() {
                break;
            }
            whole.extend(place.iter().filter_map(|(&atom, (group, _))| Some((atom, *found.get(group)?))));
        }
        grouping.name_groups(graph);
        grouping
    }

    /// Channels of one kind become a group; returns the place of every channel.
    fn collect(
        &mut self,
        channels: &[Channel],
        owners: &[Axis],
        whole: &HashMap<Element, Reason>,
    ) -> HashMap<Element, Place> {
        let mut kinds: HashMap<Kind, usize> = HashMap::new();
        let mut collected: Vec<Collected> = Vec::new();
        for channel in channels {
            let mut counts: Vec<(usize, usize)> = Vec::new();
            for &(owner, _) in &channel.indices {
                match counts.last_mut() {
                    Some((last, count)) if *last == owner => *count += 1,
                    _ => counts.push((owner, 1)),
                }
            }
            let frozen = self.axes.frozen(channel.atom).or_else(|| whole.get(&channel.atom).copied());
            let origin = if frozen.is_none() { Some(self.axes.origin(channel.atom)) } else { None };
            let kind = *kinds.entry((frozen, origin, counts)).or_insert_with_key(|(frozen, _, counts)| {
                collected.push(Collected { frozen: *frozen, counts: counts.clone(), channels: Vec::new() });
                collected.len() - 1
            });
            collected[kind].channels.push(channel);
        }

        self.groups.clear();
        self.frozen.clear();
        let mut place: HashMap<Element, Place> = HashMap::new();
        for kind in collected {
            self.add(kind, owners, &mut place);
        }
        self.settle_places(&place);
        place
    }

    fn add(&mut self, kind: Collected<'_>, owners: &[Axis], place: &mut HashMap<Element, Place>) {
        let owner = |number: usize| owners[number].owner.clone();
        let cuts_a_parameter = |number: &(usize, usize)| matches!(owners[number.0].owner, Owner::Parameter { .. });
        if let Some(reason) = kind.frozen {
            if reason.is_news() {
                self.frozen.push(Frozen {
                    name: String::new(),
                    reason,
                    channels: kind.channels.len(),
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
        for (number, channel) in kind.channels.iter().enumerate() {
            place.insert(channel.atom, (group, number));
            let mut indices = channel.indices.iter();
            for member in &mut members {
                member.indices.extend(indices.by_ref().take(member.multiplicity).map(|&(_, index)| index));
            }
        }
        self.groups.push(Group { name: String::new(), channels: kind.channels.len(), members });
    }

    fn settle_places(&mut self, place: &HashMap<Element, Place>) {
        let mut of_class: HashMap<Element, Rc<[Place]>> = HashMap::new();
        let of = |element| {
            let class = self.axes.class(element);
            let places = of_class.entry(class).or_insert_with(|| {
                let mut places: Vec<Place> =
                    self.axes.atoms(class).iter().filter_map(|atom| place.get(atom).copied()).collect();
                places.sort_unstable();
                places.into()
            });
            Rc::clone(places)
        };
        self.places = (0..self.axes.element_count() as Element).map(of).collect();
    }

    /// Groups that meet others in an index of some axis, but not in all combinations equally often: these stay whole,
    /// with the reason. Without them every axis's size is a polynomial in the widths.
    fn incomplete_products(&self, owners: &[Axis]) -> BTreeMap<usize, Reason> {
        let mut whole = BTreeMap::new();
        for owner in owners {
            let Dim::Channels(elements) = &self.axes.dims(owner.value)[owner.axis] else { continue };
            if elements.iter().all(|&element| self.places(element).len() < 2) {
                continue;
            }
            // Which groups meet, and how often in which combination of their channels.
            let mut meetings: BTreeMap<Vec<usize>, HashMap<Vec<usize>, usize>> = BTreeMap::new();
            for places in elements.iter().map(|&element| self.places(element)) {
                let (groups, channels) = places.iter().copied().unzip();
                *meetings.entry(groups).or_default().entry(channels).or_default() += 1;
            }
            for (groups, combinations) in meetings {
                if let Some(pair) = groups.windows(2).find(|pair| pair[0] == pair[1]) {
                    whole.insert(pair[0], Reason::PARTLY_MERGED);
                    continue;
                }
                let channels = |&group: &usize| self.groups[group].channels;
                let single = groups.iter().filter(|group| groups.len() > 1 && channels(group) == 1);
                let before = whole.len();
                whole.extend(single.map(|&group| (group, Reason::NOT_A_CHANNEL)));
                if whole.len() > before {
                    continue;
                }
                let all: usize = groups.iter().map(channels).product();
                let counts: BTreeSet<usize> = combinations.values().copied().collect();
                if (combinations.len() != all || counts.len() > 1)
                    && let Some(&fewest) = groups.iter().min_by_key(|group| channels(group))
                {
                    whole.insert(fewest, Reason::PARTLY_MERGED);
                }
            }
        }
        whole
    }

    /// A group is called after the first layer that produces its channels.
    fn name_groups(&mut self, graph: &Graph) {
        let mut used: HashMap<String, usize> = HashMap::new();
        for group in &mut self.groups {
            let name = first_layer(graph, group.members.iter().map(|member| &member.owner));
            let count = used.entry(name.clone()).or_default();
            *count += 1;
            group.name = if *count == 1 { name } else { format!("{name}#{count}") };
        }
        for frozen in &mut self.frozen {
            frozen.name = first_layer(graph, frozen.owners.iter());
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

    /// The analysis that the groups came from.
    pub fn axes(&self) -> &Axes {
        &self.axes
    }

    /// Channels of all groups.
    pub fn channels(&self) -> u64 {
        self.groups.iter().map(|group| group.channels as u64).sum()
    }

    /// The channels that an element is kept with, by group; empty when nothing may cut it.
    pub fn places(&self, element: Element) -> &[Place] {
        &self.places[element as usize]
    }

    /// Which elements remain when every group keeps the given channels: those of which all channels do, and frozen ones always.
    /// `keep` lists channels that the groups have, for each group.
    pub fn remaining(&self, keep: &[Vec<u32>]) -> Remaining<'_> {
        let kept = self.groups.iter().zip(keep).map(|(group, keep)| {
            let mut kept = vec![false; group.channels];
            for &channel in keep {
                kept[channel as usize] = true;
            }
            kept
        });
        let kept: Vec<Vec<bool>> = kept.collect();
        let remains = |places: &Rc<[Place]>| places.iter().all(|&(group, channel)| kept[group][channel]);
        Remaining::new(&self.axes, self.places.iter().map(remains).collect())
    }

    /// The size of a value's dimension as a polynomial in the groups' widths.
    pub fn width(&self, graph: &Graph, value: ValueId, axis: usize) -> Width {
        let mut width = Width::default();
        match &self.axes.dims(value)[axis] {
            Dim::Fixed(_) => width.constant = graph.value(value).shape[axis].at_batch(1) as u64,
            Dim::Channels(elements) => {
                let mut counts: BTreeMap<Vec<usize>, u64> = BTreeMap::new();
                for places in elements.iter().map(|&element| self.places(element)) {
                    *counts.entry(places.iter().map(|&(group, _)| group).collect()).or_default() += 1;
                }
                width.constant = counts.remove(&Vec::new()).unwrap_or(0);
                for (groups, count) in counts {
                    let combinations: u64 = groups.iter().map(|&group| self.groups[group].channels as u64).product();
                    debug_assert_eq!(count % combinations, 0, "channels of a group take the same room everywhere");
                    width.terms.push(WidthTerm { groups, multiplicity: count / combinations });
                }
            }
        }
        width
    }
}

/// The name of the first layer that produces the channels of these axes; else of one that reads them.
fn first_layer<'a>(graph: &Graph, owners: impl Iterator<Item = &'a Owner> + Clone) -> String {
    let parameters = owners.clone().filter_map(|owner| match owner {
        Owner::Parameter { name, axis } => Some((name, *axis)),
        Owner::Activation { .. } => None,
    });
    let is_weight = |name: &str| graph.parameter(name).is_some_and(|parameter| parameter.numbers.is_none());
    let first = parameters.clone().find(|&(name, axis)| axis == 0 && is_weight(name));
    if let Some((parameter, _)) = first.or_else(|| parameters.clone().next()) {
        let reads = |node: &&Node| {
            let mut read = node.inputs().into_iter().filter_map(|value| graph.as_parameter(value));
            read.any(|read| read.name == *parameter)
        };
        return graph.nodes().iter().find(reads).map_or_else(|| parameter.clone(), |node| node.name.clone());
    }
    let mut activations = owners.filter_map(|owner| match owner {
        Owner::Activation { value, .. } => Some(*value),
        Owner::Parameter { .. } => None,
    });
    match activations.next().map(|value| graph.producer(value)) {
        Some(Producer::Node { node, .. }) => graph.nodes()[node].name.clone(),
        Some(Producer::Input(_) | Producer::Parameter(_)) | None => "input".to_owned(),
    }
}

/// A channel, and where it is: the number of the axis among the owners and the index on it, ascending.
#[derive(Debug)]
struct Channel {
    atom: Element,
    indices: Vec<(usize, u32)>,
}

/// What the channels of one group have in common: why they are frozen, or which dimension made them, and how many indices of
/// which owners each takes.
type Kind = (Option<Reason>, Option<u32>, Vec<(usize, usize)>);

struct Collected<'a> {
    frozen: Option<Reason>,
    counts: Vec<(usize, usize)>,
    channels: Vec<&'a Channel>,
}

/// An axis by which channels are told apart.
struct Axis {
    owner: Owner,
    value: ValueId,
    axis: usize,
}

/// Those of parameters, and those of activations that enter a cost or must not become empty (a group always keeps a channel).
fn owners(graph: &Graph) -> Vec<Axis> {
    let mut owners = Vec::new();
    for parameter in graph.parameters().iter().filter(|parameter| parameter.tied_to.is_none()) {
        for axis in 0..graph.value(parameter.value).shape.len() {
            let owner = Owner::Parameter { name: parameter.name.clone(), axis };
            owners.push(Axis { owner, value: parameter.value, axis });
        }
    }
    for node in graph.nodes() {
        let Some(operator) = operator::of(node) else { continue };
        let costly = operator.macs(node, graph).into_iter().flat_map(|macs| macs.dims);
        for (value, axis) in costly.chain(operator.never_empty(node, graph)) {
            if graph.as_parameter(value).is_none() {
                owners.push(Axis { owner: Owner::Activation { value, axis }, value, axis });
            }
        }
    }
    owners
}

/// All channels, in the order in which they first appear.
fn channels(axes: &Axes, owners: &[Axis]) -> Vec<Channel> {
    let mut channels: Vec<Channel> = Vec::new();
    let mut of_atom: HashMap<Element, usize> = HashMap::new();
    let mut atoms = Vec::new();
    for (number, owner) in owners.iter().enumerate() {
        let Dim::Channels(elements) = &axes.dims(owner.value)[owner.axis] else { continue };
        for (index, &element) in elements.iter().enumerate() {
            atoms.clear();
            axes.collect_atoms(element, &mut atoms);
            for &atom in &atoms {
                let channel = *of_atom.entry(atom).or_insert_with(|| {
                    channels.push(Channel { atom, indices: Vec::new() });
                    channels.len() - 1
                });
                channels[channel].indices.push((number, index as u32));
            }
        }
    }
    channels
}
