//! Which part of a picture of which size a model sees.

use std::ops::Range;

use secateur_core::dataset::source::{Resize, ResizePolicy};
use secateur_core::rejection::{Code, Rejection};

/// Models that take less get whole pictures by default: at such sizes nobody cuts a border off.
const SMALLEST_CROPPED: usize = 64;
/// Sides of a resized picture, before it is cut.
const LONGEST_SIDE: usize = 1 << 16;

/// The rule for one model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Geometry {
    height: usize,
    width: usize,
    rule: Rule,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rule {
    /// Resized until it covers this height and width, then cut in the middle; a picture of the right size stays when `keep` is set.
    Cover {
        height: usize,
        width: usize,
        keep: Keep,
    },
    Stretch,
    Same,
}

/// Whether a picture that has the model's size is left alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Keep {
    SameSize,
    Never,
}

/// A picture's way: resized to `size`, of which `rows` and `columns` are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placed {
    /// Width and height after resizing.
    pub size: (usize, usize),
    pub columns: Range<usize>,
    pub rows: Range<usize>,
}

impl Geometry {
    /// # Errors
    /// A [`Rejection`] of the rule when its size is smaller than what is cut out.
    pub fn new(height: usize, width: usize, resize: Option<Resize>) -> Result<Self, Rejection> {
        let cover = |size: usize, keep| Rule::Cover { height: size, width: rounded(size * width, height), keep };
        let usual = rounded(height * 256, 224);
        let rule = match resize {
            None if height.min(width) >= SMALLEST_CROPPED => cover(usual, Keep::SameSize),
            None => Rule::Stretch,
            Some(Resize { policy: ResizePolicy::Crop, size }) => {
                let size = size.unwrap_or(usual);
                if !(height..=LONGEST_SIDE).contains(&size) {
                    return Err(Rejection::new(
                        Code::InvalidSpec,
                        format!("`data.resize.size` is {size}; it must be between the model's height {height} and {LONGEST_SIDE}."),
                    )
                    .at("data.resize.size"));
                }
                cover(size, Keep::Never)
            }
            Some(Resize { policy: ResizePolicy::Stretch, .. }) => Rule::Stretch,
            Some(Resize { policy: ResizePolicy::None, .. }) => Rule::Same,
        };
        Ok(Self { height, width, rule })
    }

    /// What becomes of a picture of this size.
    ///
    /// # Errors
    /// Why it does not fit.
    pub fn place(&self, width: usize, height: usize) -> Result<Placed, String> {
        let is_same = (width, height) == (self.width, self.height);
        let whole = Placed { size: (self.width, self.height), columns: 0..self.width, rows: 0..self.height };
        match self.rule {
            Rule::Same if !is_same => Err(format!(
                "it has {width} x {height} pixels, the model takes {} x {}, and `data.resize` is `none`",
                self.width, self.height
            )),
            Rule::Same | Rule::Stretch => Ok(whole),
            Rule::Cover { keep: Keep::SameSize, .. } if is_same => Ok(whole),
            Rule::Cover { height: cover_height, width: cover_width, .. } => {
                // As torchvision's `Resize(size)`: one side is exact, the other one is rounded down.
                let scaled = |long: usize, to: usize, from: usize| ((to * long) as f64 / from as f64) as usize;
                let size = if height * cover_width <= width * cover_height {
                    (scaled(width, cover_height, height), cover_height)
                } else {
                    (cover_width, scaled(height, cover_width, width))
                };
                if size.0.max(size.1) > LONGEST_SIDE {
                    return Err(format!("it has {width} x {height} pixels, which is too long and narrow to be cut"));
                }
                let (left, top) = (half_even(size.0 - self.width), half_even(size.1 - self.height));
                Ok(Placed { size, columns: left..left + self.width, rows: top..top + self.height })
            }
        }
    }
}

fn rounded(numerator: usize, denominator: usize) -> usize {
    (numerator + denominator / 2) / denominator
}

/// Half of a number as Python's `round` gives it, which `CenterCrop` uses: the even neighbour where two are as near.
fn half_even(number: usize) -> usize {
    let half = number / 2;
    if number % 2 == 1 && half % 2 == 1 { half + 1 } else { half }
}
