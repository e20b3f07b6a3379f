//! The widths that each group may take.

use globset::{Glob, GlobMatcher};

use super::constraints::Constraints;
use crate::graph::{Graph, Node};
use crate::group::{Frozen, Group, Grouping, Owner};
use crate::rejection::{Code, Rejection};

/// For each group, the widths that the constraints allow, ascending; the last is the full width.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    allowed: Vec<Vec<usize>>,
}

impl Limits {
    /// # Errors
    /// [`Code::NothingPrunable`] when there is no group, or [`Code::InvalidSpec`] for a name that matches no layer.
    pub fn new(graph: &Graph, grouping: &Grouping, constraints: &Constraints) -> Result<Self, Rejection> {
        if grouping.groups().is_empty() {
            let told = |frozen: &Frozen| {
                format!("`{}` cannot be pruned: {}", frozen.name, grouping.axes().cause(frozen.reason))
            };
            let told: Vec<String> = grouping.frozen().iter().take(3).map(told).collect();
            let detail = match &told[..] {
                [] => "The network has no layer with channels.".to_owned(),
                told => format!("Nothing can be pruned. {}.", told.join("; ")),
            };
            return Err(Rejection::new(Code::NothingPrunable, detail)
                .hint("Run `secateur inspect`, which lists every layer with the reason."));
        }
        let layers: Vec<Vec<&str>> = grouping.groups().iter().map(|group| producing_layers(graph, group)).collect();
        let ignored = constraints
            .ignore
            .iter()
            .map(|pattern| matcher(graph, pattern, "constraints.ignore"))
            .collect::<Result<Vec<_>, _>>()?;
        let limited = constraints
            .layers
            .iter()
            .map(|(pattern, limit)| Ok((matcher(graph, pattern, "constraints.layers")?, limit.max_reduction.get())))
            .collect::<Result<Vec<_>, Rejection>>()?;
        let round_to = constraints.round_to.get();

        let allowed = grouping
            .groups()
            .iter()
            .zip(&layers)
            .map(|(group, layers)| {
                let matches = |pattern: &GlobMatcher| layers.iter().any(|layer| pattern.is_match(layer));
                let most = if ignored.iter().any(matches) {
                    0.0
                } else {
                    let own = limited.iter().filter(|(pattern, _)| matches(pattern)).map(|&(_, limit)| limit);
                    own.fold(constraints.max_layer_reduction.get(), f64::min)
                };
                let full = group.channels();
                // The epsilon keeps 10 channels at 0.9 from keeping two because of 10 * (1 - 0.9) = 1.0000000000000009.
                let least = ((full as f64 * (1.0 - most) - 1e-9).ceil() as usize).max(1);
                let mut widths: Vec<usize> = (least..full).filter(|width| width % round_to == 0).collect();
                widths.push(full);
                widths
            })
            .collect();
        Ok(Self { allowed })
    }

    /// Widths of one group, ascending.
    pub fn allowed(&self, group: usize) -> &[usize] {
        &self.allowed[group]
    }

    /// Number of groups.
    pub fn groups(&self) -> usize {
        self.allowed.len()
    }

    /// The least width of every group.
    pub fn least(&self) -> Vec<usize> {
        self.allowed.iter().map(|widths| widths[0]).collect()
    }

    /// The smallest allowed width that is at least this.
    pub fn at_least(&self, group: usize, width: usize) -> usize {
        let widths = &self.allowed[group];
        widths[widths.partition_point(|&allowed| allowed < width).min(widths.len() - 1)]
    }

    /// The next larger allowed width.
    pub fn wider(&self, group: usize, width: usize) -> Option<usize> {
        let widths = &self.allowed[group];
        widths.get(widths.partition_point(|&allowed| allowed <= width)).copied()
    }

    /// The next smaller allowed width.
    pub fn narrower(&self, group: usize, width: usize) -> Option<usize> {
        let widths = &self.allowed[group];
        widths.partition_point(|&allowed| allowed < width).checked_sub(1).map(|index| widths[index])
    }
}

/// Layers whose output channels the group is: those that own one of its tensors by axis 0.
fn producing_layers<'a>(graph: &'a Graph, group: &Group) -> Vec<&'a str> {
    let produced: Vec<&str> = group
        .members
        .iter()
        .filter_map(|member| match &member.owner {
            Owner::Parameter { name, axis: 0 } => Some(name.as_str()),
            Owner::Parameter { .. } | Owner::Activation { .. } => None,
        })
        .collect();
    let reads = |node: &Node| {
        node.inputs()
            .into_iter()
            .filter_map(|value| graph.as_parameter(value))
            .any(|parameter| produced.contains(&parameter.name.as_str()))
    };
    graph.nodes().iter().filter(|node| reads(node)).map(|node| node.name.as_str()).collect()
}

fn matcher(graph: &Graph, pattern: &str, field: &str) -> Result<GlobMatcher, Rejection> {
    let invalid = |detail: String| Rejection::new(Code::InvalidSpec, detail).at(field);
    let matcher = Glob::new(pattern)
        .map_err(|error| invalid(format!("`{field}` has the pattern `{pattern}`, which is not valid: {error}.")))?
        .compile_matcher();
    if graph.nodes().iter().any(|node| matcher.is_match(&node.name)) {
        return Ok(matcher);
    }
    let mut layers: Vec<&str> =
        graph.nodes().iter().filter(|node| has_weights(graph, node)).map(|node| node.name.as_str()).collect();
    layers.truncate(8);
    Err(invalid(format!(
        "`{field}` names `{pattern}`, but no layer has such a name; there are {}, …",
        layers.join(", ")
    )))
}

fn has_weights(graph: &Graph, node: &Node) -> bool {
    node.inputs().into_iter().any(|value| graph.as_parameter(value).is_some())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::JobSpec;
    use crate::testing::Net;

    fn limits(constraints: &str) -> Result<Limits, Rejection> {
        let mut net = Net::new(&[3, 4, 4]);
        net.conv("stem", 10, 3, 1).conv("body.a", 16, 3, 1).conv("head", 4, 1, 1);
        let graph = net.graph();
        let spec = format!(r#"{{"target": {{"flops_reduction": 0.5}}, "constraints": {constraints}}}"#);
        Limits::new(&graph, &Grouping::of(&graph), &JobSpec::from_json(&spec).unwrap().constraints)
    }

    #[test]
    fn a_group_keeps_at_least_what_the_limit_says_and_never_nothing() {
        assert_eq!(limits(r#"{"max_layer_reduction": 0.9}"#).unwrap().least(), [1, 2]);
        assert_eq!(limits(r#"{"max_layer_reduction": 1.0}"#).unwrap().least(), [1, 1]);
    }

    #[test]
    fn an_ignored_layer_keeps_all() {
        assert_eq!(limits(r#"{"ignore": ["body.*"]}"#).unwrap().least(), [1, 16]);
    }

    #[test]
    fn the_strictest_limit_of_a_layer_counts() {
        let limits = limits(r#"{"layers": {"body.*": {"max_reduction": 0.5}, "*": {"max_reduction": 0.8}}}"#).unwrap();
        assert_eq!(limits.least(), [2, 8]);
    }

    #[test]
    fn rounding_is_of_kept_counts_and_the_full_width_is_always_allowed() {
        let limits = limits(r#"{"round_to": 4}"#).unwrap();
        assert_eq!(limits.allowed(0), [4, 8, 10]);
        assert_eq!(limits.allowed(1), [4, 8, 12, 16]);
        assert_eq!((limits.wider(0, 8), limits.narrower(0, 8), limits.at_least(0, 5)), (Some(10), Some(4), 8));
    }

    #[test]
    fn a_name_that_no_layer_has_is_refused_with_some_that_exist() {
        let error = limits(r#"{"ignore": ["classifier"]}"#).unwrap_err();
        assert_eq!(error.code, Code::InvalidSpec);
        assert!(error.detail.contains("`classifier`") && error.detail.contains("stem"), "{}", error.detail);
    }

    #[test]
    fn a_network_without_a_group_is_refused_with_the_layers_and_why() {
        let mut net = Net::new(&[3, 4, 4]);
        net.conv("conv1", 6, 3, 1);
        let graph = net.graph();
        let error = Limits::new(&graph, &Grouping::of(&graph), &Constraints::default()).unwrap_err();
        assert_eq!(error.code, Code::NothingPrunable);
        let input = "`conv1` cannot be pruned: its channels are the channels of the model's input";
        let output = "`conv1` cannot be pruned: the model returns its channels";
        assert!(error.detail.contains(input) && error.detail.contains(output), "{}", error.detail);
    }
}
