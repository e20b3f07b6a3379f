//! Channels that change places with positions or with each other: `pixel_shuffle`, `im2col`, their inverses, `channel_shuffle`.

use super::{Operator, fixed_size, operand, result};
use crate::axes::{Axes, Dim, Element, Reason};
use crate::graph::{Graph, Node};

/// Each output channel is a block of consecutive input channels, one for each place in a square.
pub(super) struct PixelShuffle;

impl Operator for PixelShuffle {
    fn names(&self) -> &'static [&'static str] {
        &["aten::pixel_shuffle", "aten::col2im"]
    }

    fn axes(&self, node: &Node, graph: &Graph, axes: &mut Axes) -> Result<(), String> {
        rearrange(node, graph, axes, 3, |elements, channels, axes| {
            let blocks = elements.chunks_exact(elements.len() / channels);
            blocks.map(|block| unify_all(block, axes)).collect()
        })
    }
}

/// Each input channel becomes a block of consecutive output channels.
pub(super) struct Unfold;

impl Operator for Unfold {
    fn names(&self) -> &'static [&'static str] {
        &["aten::pixel_unshuffle", "aten::im2col"]
    }

    fn axes(&self, node: &Node, graph: &Graph, axes: &mut Axes) -> Result<(), String> {
        // `im2col` also flattens the positions.
        let trailing = if node.op == "aten::im2col" { 2 } else { 3 };
        rearrange(node, graph, axes, trailing, |elements, channels, _| {
            let times = channels / elements.len();
            elements.iter().flat_map(|&element| std::iter::repeat_n(element, times)).collect()
        })
    }
}

/// The channels of `groups` blocks are interleaved, so that every block must lose the same places.
pub(super) struct ChannelShuffle;

impl Operator for ChannelShuffle {
    fn names(&self) -> &'static [&'static str] {
        &["aten::channel_shuffle"]
    }

    fn axes(&self, node: &Node, graph: &Graph, axes: &mut Axes) -> Result<(), String> {
        let groups = node.int("groups").ok_or("the number of groups is not a constant")? as usize;
        let rank = graph.value(operand(node, "self")?).shape.len();
        rearrange(node, graph, axes, rank - 1, |elements, channels, axes| {
            let per_group = channels / groups;
            let at_place = |place: usize| (0..groups).map(move |group| elements[group * per_group + place]);
            for place in 0..per_group {
                unify_all(&at_place(place).collect::<Vec<_>>(), axes);
            }
            (0..per_group).flat_map(at_place).collect()
        })
    }
}

fn unify_all(elements: &[Element], axes: &mut Axes) -> Element {
    for &other in &elements[1..] {
        axes.unify_elements(elements[0], other);
    }
    elements[0]
}

/// The output has `trailing` last dimensions, the first of which are channels that `list` makes of the input's.
fn rearrange(
    node: &Node,
    graph: &Graph,
    axes: &mut Axes,
    trailing: usize,
    list: impl Fn(&[Element], usize, &mut Axes) -> Vec<Element>,
) -> Result<(), String> {
    let (input, output) = (operand(node, "self")?, result(node)?);
    let shape = &graph.value(output).shape;
    let channel_dim = shape.len().checked_sub(trailing).ok_or("the input has too few dimensions")?;
    let channels = fixed_size(shape[channel_dim])?;
    let in_dims = axes.dims(input).to_vec();
    let mut dims = vec![Dim::Fixed(Reason::NOT_A_CHANNEL); shape.len()];
    dims[..channel_dim].clone_from_slice(&in_dims[..channel_dim]);
    dims[channel_dim] = match &in_dims[channel_dim] {
        Dim::Fixed(reason) => Dim::Fixed(*reason),
        Dim::Channels(elements) => Dim::Channels(list(elements, channels, axes).into()),
    };
    for spatial in &in_dims[channel_dim + 1..] {
        axes.freeze(spatial, Reason::NOT_A_CHANNEL);
    }
    axes.set(output, dims);
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::graph::Size;
    use crate::testing::{Net, int, ints};

    #[test]
    fn a_pixel_shuffle_cuts_whole_squares_of_channels() {
        let mut net = Net::new(&[3, 4, 4]);
        net.conv("a", 12, 3, 1).apply("aten::pixel_shuffle", &[("upscale_factor", int(2))], &[3, 8, 8]);
        net.conv("b", 2, 1, 1);
        let cut = net.cut(&[vec![0, 2]]);
        assert_eq!(cut.kept.0["a.weight"][&0], [0, 1, 2, 3, 8, 9, 10, 11]);
        assert_eq!(cut.kept.0["b.weight"][&1], [0, 2]);
    }

    #[test]
    fn patches_that_are_folded_cut_whole_kernels() {
        let mut net = Net::new(&[3, 4, 4]);
        net.conv("a", 12, 3, 1).view(&[Size::BATCH, Size::fixed(12), Size::fixed(16)]);
        net.apply("aten::col2im", &[("kernel_size", ints(&[2, 2]))], &[3, 8, 8]).conv("b", 2, 1, 1);
        let cut = net.cut(&[vec![1]]);
        assert_eq!(cut.kept.0["a.weight"][&0], [4, 5, 6, 7]);
        assert_eq!(cut.kept.0["b.weight"][&1], [1]);
    }

    #[test]
    fn the_inverse_takes_all_places_of_a_channel_along() {
        let mut net = Net::new(&[3, 4, 4]);
        net.conv("a", 3, 3, 1).apply("aten::pixel_unshuffle", &[("downscale_factor", int(2))], &[12, 2, 2]);
        net.conv("b", 2, 1, 1);
        let cut = net.cut(&[vec![1]]);
        assert_eq!(cut.kept.0["b.weight"][&1], [4, 5, 6, 7]);
    }

    #[test]
    fn a_channel_shuffle_interleaves_what_remains_of_every_group() {
        let mut net = Net::new(&[3, 4, 4]);
        net.conv("a", 6, 3, 1).apply("aten::channel_shuffle", &[("groups", int(2))], &[6, 4, 4]).conv("b", 2, 1, 1);
        let cut = net.cut(&[vec![0, 2]]);
        assert_eq!(cut.kept.0["a.weight"][&0], [0, 2, 3, 5]);
        assert_eq!(cut.kept.0["b.weight"][&1], [0, 1, 4, 5], "0 3 | 1 4 | 2 5 without the middle pair");
    }
}
