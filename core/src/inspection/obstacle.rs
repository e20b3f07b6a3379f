//! What keeps channels of a network from being cut, in words, and what its owner could do about it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::axes::Reason;
use crate::configuration::Constraints;
use crate::graph::Graph;
use crate::group::Grouping;

/// How many operators the advice names.
const NAMED: usize = 3;

/// Below this largest reduction of multiply-accumulates the advice says what bounds it.
const SMALL_REDUCTION: f64 = 0.5;

/// Nodes that no channel can pass, those that hold most channels first.
pub(super) fn obstacles(graph: &Graph, grouping: &Grouping) -> Vec<Obstacle> {
    let held = |reason: Reason| {
        let frozen = grouping.frozen().iter().filter(|frozen| frozen.reason == reason);
        frozen.map(|frozen| frozen.channels as u64).sum::<u64>()
    };
    let mut obstacles: Vec<Obstacle> = grouping
        .axes()
        .blocked()
        .iter()
        .map(|blocked| {
            let node = &graph.nodes()[blocked.node];
            let (reason, channels) = (blocked.why.clone(), held(blocked.reason));
            Obstacle { node: node.name.clone(), operator: node.op.clone(), reason, channels }
        })
        .filter(|obstacle| obstacle.channels > 0)
        .collect();
    obstacles.sort_by_key(|obstacle| std::cmp::Reverse(obstacle.channels));
    obstacles
}

/// What the owner of the model could do to have more of it pruned; empty when little is left to do.
pub(super) fn advice(
    graph: &Graph,
    grouping: &Grouping,
    obstacles: &[Obstacle],
    largest_flops_reduction: f64,
) -> Vec<String> {
    let mut advice = Vec::new();
    let mut by_operator: BTreeMap<&str, (u64, u64)> = BTreeMap::new();
    for obstacle in obstacles {
        let (nodes, channels) = by_operator.entry(&obstacle.operator).or_default();
        *nodes += 1;
        *channels += obstacle.channels;
    }
    let mut by_operator: Vec<(&str, (u64, u64))> = by_operator.into_iter().collect();
    by_operator.sort_by_key(|&(_, (_, channels))| std::cmp::Reverse(channels));
    for (operator, (nodes, channels)) in by_operator.into_iter().take(NAMED) {
        let at = if nodes == 1 { "1 node".to_owned() } else { format!("{nodes} nodes") };
        advice.push(format!(
            "`{operator}` at {at} keeps {channels} channels as they are. The rest is pruned all the same; to have these \
             pruned too, write that part of the model without it."
        ));
    }
    if grouping.groups().is_empty() {
        advice.push("Nothing of this model can be pruned as it is written.".to_owned());
    } else if largest_flops_reduction < SMALL_REDUCTION {
        // Rounded down, and below one per cent still not to zero.
        let steps = if largest_flops_reduction < 0.01 { 1e6 } else { 100.0 };
        advice.push(format!(
            "Ask for a `flops_reduction` of at most {}, or raise `constraints.max_layer_reduction` above {}.",
            (largest_flops_reduction * steps).floor() / steps,
            Constraints::default().max_layer_reduction.get(),
        ));
    }
    let specialisations = graph.file().specialisations.len();
    if specialisations > 0 {
        advice.push(format!(
            "{specialisations} branches or loops of the program depend on the size of the input, and the pruned network \
             takes the ones of this size: give `input_shape` as the size that you will run it at."
        ));
    }
    advice
}

/// A node that no channel can pass.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Obstacle {
    /// Name of the node, as in the list of layers.
    pub node: String,
    /// `aten::cumsum`.
    pub operator: String,
    /// The reason why no channel passes, as the middle of a sentence.
    pub reason: String,
    /// Channels, of the layers before and after, that are kept as they are because of it.
    pub channels: u64,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Net;

    /// The middle one of three layers writes into an operator that has no rule.
    fn network() -> Graph {
        let mut net = Net::new(&[3, 8, 8]);
        net.conv("a", 6, 3, 1).conv("b", 5, 3, 1).unary("aten::special_thing").conv("c", 4, 1, 1).conv("d", 7, 3, 1);
        net.graph()
    }

    #[test]
    fn an_operator_without_a_rule_is_named_with_the_channels_that_it_holds() {
        let graph = network();
        let found = obstacles(&graph, &Grouping::of(&graph));
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].operator.as_str(), found[0].channels), ("aten::special_thing", 10));
        assert_eq!(found[0].reason, "the operator aten::special_thing has no channel rule");
    }

    #[test]
    fn advice_names_operators_small_targets_and_sizes() {
        let graph = network();
        let grouping = Grouping::of(&graph);
        let found = obstacles(&graph, &grouping);
        let told = advice(&graph, &grouping, &found, 0.327);
        assert_eq!(told.len(), 2);
        assert!(told[0].starts_with("`aten::special_thing` at 1 node keeps 10 channels"), "{}", told[0]);
        assert!(told[1].contains("at most 0.32,"), "{}", told[1]);
        let little = advice(&graph, &grouping, &found, 0.004_321_9);
        assert!(little[1].contains("at most 0.004321,"), "{}", little[1]);
        assert!(told[1].contains("above 0.9."), "{}", told[1]);

        let mut file = graph.into_file();
        file.specialisations.push("neck (code/__torch__.py:7)".to_owned());
        let graph = Graph::new(file).unwrap();
        let told = advice(&graph, &grouping, &[], 0.9);
        assert_eq!(told.len(), 1);
        assert!(told[0].contains("size of the input"), "{}", told[0]);
    }
}
