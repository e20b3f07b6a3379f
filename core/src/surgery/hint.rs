//! Hidden values that a cut network shares with its original.

use super::{Cut, Form, consumers};
use crate::graph::{Graph, ValueId};

/// A value of which some channels are left, each of which means what it meant in the original.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hint {
    /// The same number in both graphs.
    pub value: ValueId,
    /// Where its channels are.
    pub axis: usize,
    /// Channels of the original that are left.
    pub kept: Vec<u32>,
}

/// What the layers read that lost inputs, in program order; recurrent layers' own states are left out.
pub fn hints(graph: &Graph, cut: &Cut) -> Vec<Hint> {
    let mut hints: Vec<Hint> = Vec::new();
    for consumer in consumers(graph, cut) {
        let name = &graph.parameters()[consumer.weight].name;
        for place in consumer.uses.iter().filter(|place| place.form.groups() == 1 && place.direction.is_none()) {
            let axis = match place.form {
                Form::Linear { .. } => graph.value(place.input).shape.len() - 1,
                Form::Convolution(_) | Form::TransposedConvolution(_) => 1,
            };
            let kept = cut.kept.0.get(name).and_then(|axes| axes.get(&place.form.input_axis()));
            if let Some(kept) = kept.filter(|_| hints.iter().all(|hint| hint.value != place.input)) {
                hints.push(Hint { value: place.input, axis, kept: kept.clone() });
            }
        }
    }
    hints
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::configuration::Configuration;
    use crate::group::Grouping;
    use crate::surgery::cut;
    use crate::testing::Net;

    /// A residual block: the convolution in it reads four of six channels, and the linear layer five of eight that were pooled.
    #[test]
    fn what_layers_read_is_compared_at_the_channels_that_are_left() {
        let mut net = Net::new(&[3, 8, 8]);
        net.conv("stem", 8, 3, 1).relu();
        let before = net.here();
        net.conv("inner", 6, 3, 1).relu();
        let hidden = net.here();
        net.conv("outer", 8, 3, 1).add(before).mean(&[2, 3], false);
        let pooled = net.here();
        net.linear("head", 4);
        let graph = net.graph();
        let grouping = Grouping::of(&graph);
        let keep = grouping.groups().iter().map(|group| match group.channels() {
            8 => vec![0, 2, 3, 5, 7],
            6 => vec![1, 2, 4, 5],
            _ => (0..group.channels() as u32).collect(),
        });
        let cut = cut(&graph, &grouping, &Configuration { keep: keep.collect() }).unwrap();
        let hint = |value, kept: &[u32]| Hint { value, axis: 1, kept: kept.to_vec() };
        assert_eq!(
            hints(&graph, &cut),
            [hint(before, &[0, 2, 3, 5, 7]), hint(hidden, &[1, 2, 4, 5]), hint(pooled, &[0, 2, 3, 5, 7])]
        );
    }
}
