//! Bars of a table's rows.

use maud::{Markup, html};

/// What is left of something: the whole, and the part in front of it.
pub(in super::super) fn left_of(before: f64, after: f64, longest: f64) -> Markup {
    html! {
        svg class="bar" aria-hidden="true" {
            rect class="before" width=(share(before, longest)) height="100%" rx="2" {}
            rect class="after" width=(share(after, longest)) height="100%" rx="2" {}
        }
    }
}

/// One part of a whole.
pub(in super::super) fn part(value: f64, longest: f64) -> Markup {
    html! { svg class="bar" aria-hidden="true" { rect class="after" width=(share(value, longest)) height="100%" rx="2" {} } }
}

fn share(value: f64, longest: f64) -> String {
    let share = if longest > 0.0 { (value / longest).clamp(0.0, 1.0) } else { 0.0 };
    format!("{:.2}%", share * 100.0)
}
