//! The frame of a chart: two scales, lines at the round values of one, figures beside both.

use maud::{Markup, html};

use super::scale::{Scale, Unit};

const LEFT: f64 = 70.0;
const RIGHT: f64 = 16.0;
const TOP: f64 = 14.0;
const BOTTOM: f64 = 44.0;

/// The size of a drawing.
#[derive(Debug, Clone, Copy)]
pub(super) struct Frame {
    pub(super) width: f64,
    pub(super) height: f64,
}

/// What an axis shows.
pub(super) struct Axis {
    pub(super) title: String,
    pub(super) unit: Unit,
}

/// A frame with values in it.
pub(super) struct Chart {
    frame: Frame,
    across: (Axis, Scale),
    up: (Axis, Scale),
}

impl Frame {
    pub(super) fn around(self, across: (Axis, Vec<f64>), up: (Axis, Vec<f64>)) -> Chart {
        let (across, xs) = across;
        let (up, ys) = up;
        Chart {
            frame: self,
            across: (across, Scale::over(xs, LEFT, self.width - RIGHT)),
            up: (up, Scale::over(ys, self.height - BOTTOM, TOP)),
        }
    }
}

impl Chart {
    pub(super) fn view_box(&self) -> String {
        format!("0 0 {} {}", self.frame.width, self.frame.height)
    }

    pub(super) fn right(&self) -> f64 {
        self.frame.width - RIGHT
    }

    pub(super) fn place(&self, x: f64, y: f64) -> (f64, f64) {
        (self.across.1.at(x), self.up.1.at(y))
    }

    pub(super) fn grid(&self) -> Markup {
        let (right, bottom) = (self.right(), self.frame.height - BOTTOM);
        html! {
            g class="axes" {
                @for tick in self.up.1.ticks() {
                    @let y = format!("{:.1}", self.up.1.at(tick));
                    line x1=(LEFT) x2=(right) y1=(y) y2=(y) {}
                    text x=(LEFT - 8.0) y=(y) dy="4" text-anchor="end" { (self.up.1.text(tick, self.up.0.unit)) }
                }
                @for tick in self.across.1.ticks() {
                    @let x = format!("{:.1}", self.across.1.at(tick));
                    text x=(x) y=(bottom + 18.0) text-anchor="middle" { (self.across.1.text(tick, self.across.0.unit)) }
                }
                text x=(right) y=(self.frame.height - 8.0) text-anchor="end" { (self.across.0.title) }
                text x=(LEFT) y=(self.frame.height - 8.0) { (self.up.0.title) }
            }
        }
    }

    /// A line at one value, with its name.
    pub(super) fn level(&self, value: f64, name: &str) -> Markup {
        let y = self.up.1.at(value);
        let right = self.right();
        html! {
            g class="level" {
                line x1=(LEFT) x2=(right) y1=(format!("{y:.1}")) y2=(format!("{y:.1}")) {}
                text x=(right) y=(format!("{:.1}", y - 5.0)) text-anchor="end" { (name) }
            }
        }
    }
}
