//! `slice`, `narrow` and `select`: some of a dimension's elements. Bounds count what remains before them.
//!
//! A slice with a step takes one of every so many indices. These runs, counted from the first index so that slices from the first and
//! from the second on agree, are cut whole: then the same place of each that remains is taken, and the step stays what it is.

use std::ops::Range;

use super::{Operator, Shapes, dimension, fixed_size, place, result};
use crate::axes::{Axes, Cause, Dim};
use crate::graph::{Graph, Literal, Node, Size, ValueId};

pub(super) struct Slice;

impl Operator for Slice {
    fn names(&self) -> &'static [&'static str] {
        &["aten::slice", "aten::narrow"]
    }

    fn axes(&self, node: &Node, graph: &Graph, axes: &mut Axes) -> Result<(), String> {
        let output = result(node)?;
        let (input, along) = place(node, graph)?;
        let mut dims = axes.dims(input).to_vec();
        // `x[:, a:b]` is traced with a slice of the whole batch, which heads may be merged with.
        let takes_all = graph.value(input).shape[along] == graph.value(output).shape[along];
        if let (Dim::Channels(elements), false) = (&dims[along], takes_all) {
            let bounds = bounds(node, fixed_size(graph.value(input).shape[along])?)?;
            for run in elements[bounds.runs(elements.len())].chunks(bounds.step) {
                for &element in run {
                    axes.unify_elements(run[0], element);
                }
            }
            let taken = elements[bounds.start..bounds.end].iter().copied().step_by(bounds.step);
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
        let Ok(size) = fixed_size(shapes.before.value(input).shape[along]) else { return };
        let Ok(bounds) = bounds(node, size) else { return };
        let runs = bounds.runs(size);
        let [start, end] = [runs.start, runs.end].map(|index| shapes.remaining_before(input, along, index) as i64);
        let start = start + (bounds.start - runs.start) as i64;
        if node.arg("length").is_some() {
            node.set("start", Literal::Int(Size::fixed(start)));
            node.set("length", Literal::Int(Size::fixed(end - start)));
            return;
        }
        let [before, after] = [size as i64, shapes.after(input)[along].fixed];
        for (name, default, wanted) in [("start", 0, start), ("end", after, end)] {
            if let Some(bound) = rewritten(node.arg(name), default, wanted, before, after) {
                node.set(name, Literal::Int(Size::fixed(bound)));
            }
        }
    }
}

/// The bound that means the index `wanted` of `after`, counted as the program counts; `None` when the bound means that as it is.
fn rewritten(bound: Option<&Literal>, default: i64, wanted: i64, before: i64, after: i64) -> Option<i64> {
    let written = match bound {
        Some(Literal::Int(bound)) => bound.fixed,
        _ if wanted == default => return None,
        _ => return Some(wanted),
    };
    let counted = if written < 0 && wanted < after { wanted - after } else { wanted };
    let is_past_the_end = written > before && wanted == after;
    (counted != written && !is_past_the_end).then_some(counted)
}

struct Bounds {
    start: usize,
    end: usize,
    step: usize,
}

impl Bounds {
    /// The indices of a dimension of `size` in runs as long as the step, of which one index each is taken.
    fn runs(&self, size: usize) -> Range<usize> {
        let start = self.start - self.start % self.step;
        let taken = (self.end - self.start).div_ceil(self.step);
        // The last run may lack some at its end.
        start..(start + taken * self.step).min(size)
    }
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
            let reason = axes.reason(Cause::by(node, "selects one of its channels by number"));
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
        let wanted = shapes.remaining_before(input, along, index) as i64;
        let after = shapes.after(input)[along].fixed;
        if let Some(index) = rewritten(node.arg("index"), 0, wanted, size as i64, after) {
            node.set("index", Literal::Int(Size::fixed(index)));
        }
    }
}

/// The selected index, from the front.
fn selected(node: &Node, size: usize) -> Result<usize, String> {
    dimension(node.int("index").ok_or("the index depends on the batch")?, size)
}

#[cfg(test)]
mod tests {
    use crate::graph::{Literal, Size};
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
        assert_eq!((bounds(1), bounds(3)), ((0, 1), (-3, END)), "they are counted as they were");
    }

    #[test]
    fn a_slice_of_a_whole_batch_with_heads_passes() {
        let mut net = Net::new(&[5, 12]);
        let heads = |per_sample: i64| Size { per_sample, fixed: 0 };
        net.linear("a", 6).view(&[Size::BATCH, Size::fixed(5), Size::fixed(2), Size::fixed(3)]).transpose(1, 2);
        net.view(&[heads(2), Size::fixed(5), Size::fixed(3)]);
        let input = Literal::Tensor(net.here());
        let args = [("self", input), ("dim", int(0)), ("start", int(0)), ("end", int(END)), ("step", int(1))];
        net.node("", "aten::slice", &args, vec![heads(2), Size::fixed(5), Size::fixed(3)]);
        net.view(&[Size::BATCH, Size::fixed(2), Size::fixed(5), Size::fixed(3)]).transpose(1, 2);
        net.view(&[Size::BATCH, Size::fixed(5), Size::fixed(6)]).linear("b", 4);
        assert_eq!(net.groups().iter().map(|group| group.channels()).collect::<Vec<_>>(), [3]);
        let cut = net.cut(&[vec![0, 2]]);
        assert_eq!((cut.graph.nodes()[4].int("start"), cut.graph.nodes()[4].int("end")), (Some(0), Some(END)));
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
    fn channels_between_those_of_a_step_go_with_them() {
        let mut net = Net::new(&[3, 4, 4]);
        net.conv("a", 8, 3, 1);
        let all = net.here();
        slice(&mut net, 2, 8, 3, 2);
        let first = net.here();
        net.at(all);
        slice(&mut net, 3, END, 3, 2);
        net.conv("second", 5, 1, 1);
        let second = net.here();
        net.at(first).conv("first", 5, 1, 1).add(second).conv("out", 2, 1, 1);
        let axes: Vec<Vec<usize>> = net
            .groups()
            .iter()
            .map(|group| group.members.iter().map(|member| member.indices.len()).collect())
            .collect();
        let runs = ["the first three, which only one slice reads", "three of both", "the last two, of the other"];
        assert_eq!(axes.len(), runs.len() + 1, "{axes:?}");
        assert_eq!([axes[0][0], axes[1][0], axes[2][0]], [3, 3, 2], "{runs:?}");
    }

    #[test]
    fn a_step_stays_what_it_is() {
        let mut net = Net::new(&[3, 4, 4]);
        net.conv("a", 7, 3, 1);
        let all = net.here();
        slice(&mut net, 0, END, 2, 4);
        net.conv("even", 5, 1, 1);
        let even = net.here();
        net.at(all);
        slice(&mut net, 1, END, 2, 3);
        net.conv("odd", 5, 1, 1).add(even).conv("out", 2, 1, 1);
        let cut = net.cut(&[vec![0, 2], vec![0], vec![0, 1, 2, 3, 4]]);
        assert_eq!(cut.kept.0["a.weight"][&0], [0, 1, 4, 5, 6]);
        assert_eq!(cut.kept.0["even.weight"][&1], [0, 2, 3]);
        assert_eq!(cut.kept.0["odd.weight"][&1], [0, 2]);
        let bounds = |node: usize| {
            let node = &cut.graph.nodes()[node];
            (node.int("start").unwrap(), node.int("end").unwrap(), node.int("step").unwrap())
        };
        assert_eq!((bounds(1), bounds(3)), ((0, END, 2), (1, 4, 2)));
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
        assert_eq!(cut.graph.nodes()[1].int("index"), Some(-2), "it is counted from the end, as it was");
    }
}
