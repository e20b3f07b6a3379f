//! Drawings of the page, as SVG that needs no script.

mod bars;
mod candidates;
mod frame;
mod scale;
mod training;

pub(super) use bars::{left_of, part};
pub(super) use candidates::candidates;
pub(super) use training::training;
