//! `slice`, `narrow` and `select`: some of a dimension's elements. Bounds count what remains before them.

use super::{Operator, Shapes, dimension, fixed_size, place, result};
use crate::graph::{Graph, Literal, Node, Size, ValueId};
use crate::group::{Axes, Dim};

pub(super) struct Slice;

impl Operator for Slice {
    fn names(&self) -> &'static [&'static str] {
        &["aten::slice", "aten::narrow"]
    }

    fn axes(&self, node: &Node, graph: &Graph, axes: &mut Axes) -> Result<(), String> {
        let output = result(node)?;
        let (input, along) = place(node, graph)?;
        let mut dims = axes.dims(input).to_vec();
        if let Dim::Channels(elements) = &dims[along] {
            let Bounds { start, end, step } = bounds(node, fixed_size(graph.value(input).shape[along])?)?;
            if step != 1 {
                let reason =
                    axes.reason(format!("node `{}` takes every index at a distance of {step} of it", node.name));
                axes.freeze(&dims[along], reason);
            }
            let taken = elements[start..end].iter().copied().step_by(step);
            dims[along] = Dim::Channels(taken.collect());
        }
        axes.set(output, dims);
        Ok(())
    }

    fn never_empty(&self, node: &Node, graph: &Graph) -> Vec<(ValueId, usize)> {
        let Ok((_, along)) = place(node, graph) else { return Vec::new() };
        vec![(node.outputs[0], along)]
    }

    fn rewrite(&self, node: &mut Node, shapes: &Shapes<'_>) {
        let Ok((input, along)) = place(node, shapes.before) else { return };
        if !shapes.is_cut(input, along) {
            return;
        }
        let size = shapes.before.value(input).shape[along].fixed as usize;
        let Ok(Bounds { start, end, .. }) = bounds(node, size) else { return };
        let [start, end] = [start, end].map(|index| shapes.remaining_before(input, along, index) as i64);
        node.set("start", Literal::Int(Size::fixed(start)));
        let (name, value) = if node.arg("length").is_some() { ("length", end - start) } else { ("end", end) };
        node.set(name, Literal::Int(Size::fixed(value)));
    }
}

struct Bounds {
    start: usize,
    end: usize,
    step: usize,
}

/// The bounds of a slice of a dimension of `size`: from the front, and inside it.
fn bounds(node: &Node, size: usize) -> Result<Bounds, String> {
    let inside = |index: i64| {
        let from_front = if index < 0 { index + size as i64 } else { index };
        from_front.clamp(0, size as i64) as usize
    };
    let bound = |name: &str, default: usize| match node.arg(name) {
        None | Some(Literal::None) => Ok(default),
        Some(Literal::Int(index)) => index.as_fixed().map(inside).ok_or("a bound depends on the batch"),
        Some(_) => Err("a bound is not a constant"),
    };
    let start = bound("start", 0)?;
    let end = match node.int("length") {
        Some(length) => start + length as usize,
        None => bound("end", size)?.max(start),
    };
    Ok(Bounds { start, end, step: node.int("step").unwrap_or(1) as usize })
}

/// One index of a dimension; that one must stay, and its number counts what remains before it.
pub(super) struct Select;

impl Operator for Select {
    fn names(&self) -> &'static [&'static str] {
        &["aten::select"]
    }

    fn axes(&self, node: &Node, graph: &Graph, axes: &mut Axes) -> Result<(), String> {
        let output = result(node)?;
        let (input, along) = place(node, graph)?;
        let mut dims = axes.dims(input).to_vec();
        if let Dim::Channels(elements) = dims.remove(along) {
            let index = selected(node, fixed_size(graph.value(input).shape[along])?)?;
            let reason = axes.reason(format!("node `{}` selects it by its number", node.name));
            axes.freeze(&Dim::Channels([elements[index]].into()), reason);
        }
        axes.set(output, dims);
        Ok(())
    }

    fn rewrite(&self, node: &mut Node, shapes: &Shapes<'_>) {
        let Ok((input, along)) = place(node, shapes.before) else { return };
        if !shapes.is_cut(input, along) {
            return;
        }
        let size = shapes.before.value(input).shape[along].fixed as usize;
        let Ok(index) = selected(node, size) else { return };
        let index = shapes.remaining_before(input, along, index) as i64;
        node.set("index", Literal::Int(Size::fixed(index)));
    }
}

/// The selected index, from the front.
fn selected(node: &Node, size: usize) -> Result<usize, String> {
    dimension(node.int("index").ok_or("the index depends on the batch")?, size)
}

#[cfg(test)]
mod tests {
    use crate::graph::Literal;
    use crate::testing::{Net, int};

    const END: i64 = i64::MAX;

    fn slice(net: &mut Net, start: i64, end: i64, step: i64, channels: i64) {
        let args = [("dim", int(1)), ("start", int(start)), ("end", int(end)), ("step", int(step))];
        net.apply("aten::slice", &args, &[channels, 4, 4]);
    }

    #[test]
    fn the_bounds_of_a_slice_count_what_remains() {
        let mut net = Net::new(&[3, 4, 4]);
        net.conv("a", 6, 3, 1);
        let all = net.here();
        slice(&mut net, 0, 2, 1, 2);
        net.conv("front", 5, 1, 1);
        let front = net.here();
        net.at(all);
        slice(&mut net, -4, END, 1, 4);
        net.conv("back", 5, 1, 1).add(front).conv("out", 2, 1, 1);
        let cut = net.cut(&[vec![1], vec![0, 2, 3], vec![0, 1, 2, 3, 4]]);
        assert_eq!(cut.kept.0["a.weight"][&0], [1, 2, 4, 5]);
        let bounds = |node: usize| {
            let node = &cut.graph.nodes()[node];
            (node.int("start").unwrap(), node.int("end").unwrap())
        };
        assert_eq!((bounds(1), bounds(3)), ((0, 1), (1, 4)));
    }

    #[test]
    fn narrow_gives_its_length() {
        let mut net = Net::new(&[3, 4, 4]);
        net.conv("a", 6, 3, 1);
        net.apply("aten::narrow", &[("dim", int(1)), ("start", int(2)), ("length", int(4))], &[4, 4, 4]);
        net.conv("out", 2, 1, 1);
        let cut = net.cut(&[vec![1], vec![0, 3]]);
        assert_eq!(cut.kept.0["a.weight"][&0], [1, 2, 5], "the two that nobody reads are a group of their own");
        let narrow = &cut.graph.nodes()[1];
        assert_eq!((narrow.int("start"), narrow.int("length")), (Some(1), Some(2)));
    }

    #[test]
    fn every_second_channel_cannot_be_taken_of_a_cut_dimension() {
        let mut net = Net::new(&[3, 4, 4]);
        net.conv("a", 6, 3, 1);
        slice(&mut net, 0, END, 2, 3);
        net.conv("out", 2, 1, 1);
        assert!(net.groups().is_empty());
        assert!(net.reasons("a.weight", 0).contains("at a distance of 2"));
    }

    #[test]
    fn a_selected_channel_stays_and_keeps_being_selected() {
        let mut net = Net::new(&[3, 4, 4]);
        net.conv("a", 6, 3, 1);
        let all = net.here();
        net.apply("aten::select", &[("dim", int(1)), ("index", int(-2))], &[4, 4]);
        net.apply("aten::unsqueeze", &[("dim", int(1))], &[1, 4, 4]);
        let one = Literal::Tensor(net.here());
        net.at(all).apply("aten::mul", &[("other", one)], &[6, 4, 4]).conv("out", 2, 1, 1);
        let groups = net.groups();
        assert_eq!((groups.len(), groups[0].channels()), (1, 5));
        let cut = net.cut(&[vec![1, 4]]);
        assert_eq!(cut.kept.0["a.weight"][&0], [1, 4, 5], "channel 4 is the selected one");
        assert_eq!(cut.graph.nodes()[1].int("index"), Some(1));
    }
}
