//! Numbers and names as people read them.

use secateur_core::configuration::Origin;
use secateur_core::cost::Metric;
use secateur_core::plain_text;
use secateur_core::recovery::Measure;

/// Keeps a number and its unit on one line.
const NARROW: char = '\u{a0}';

/// Text out of a report, which may stem from an uploaded file.
pub(super) fn shown(text: &str) -> String {
    plain_text::line(text)
}

/// `2.53 M`
pub(super) fn short(number: f64) -> String {
    let (size, symbol) = size_of(number);
    format!("{}{symbol}", significant(number / size, 3))
}

/// The power of a thousand that a number is written in, and its letter.
pub(super) fn size_of(number: f64) -> (f64, &'static str) {
    let sizes = [(1e12, "\u{a0}T"), (1e9, "\u{a0}G"), (1e6, "\u{a0}M"), (1e3, "\u{a0}k")];
    sizes.into_iter().find(|(size, _)| number.abs() >= *size).unwrap_or((1.0, ""))
}

pub(super) fn bytes(bytes: u64) -> String {
    if bytes < 1000 { format!("{bytes}{NARROW}B") } else { format!("{}B", short(bytes as f64)) }
}

/// `60.1 %`
pub(super) fn percent(share: f64, digits: usize) -> String {
    format!("{:.digits$}{NARROW}%", share * 100.0)
}

/// `−60.1 %`, from one number to another.
pub(super) fn change(before: f64, after: f64) -> String {
    if before == 0.0 {
        return "–".to_owned();
    }
    let share = after / before - 1.0;
    format!("{}{}", sign(share), percent(share.abs(), 1))
}

/// `−0.27 points`, from one share to another.
pub(super) fn points(before: f64, after: f64) -> String {
    let points = (after - before) * 100.0;
    format!("{}{:.2}{NARROW}points", sign(points), points.abs())
}

fn sign(number: f64) -> char {
    if number < 0.0 { '−' } else { '+' }
}

/// `3 min 12 s`
pub(super) fn duration(seconds: f64) -> String {
    let whole = seconds.round().max(0.0) as u64;
    match whole {
        _ if seconds < 10.0 => format!("{seconds:.1}{NARROW}s"),
        0..60 => format!("{whole}{NARROW}s"),
        60..3600 => format!("{}{NARROW}min {}{NARROW}s", whole / 60, whole % 60),
        _ => format!("{}{NARROW}h {}{NARROW}min", whole / 3600, whole % 3600 / 60),
    }
}

/// Four digits, with an exponent where it is very small or large.
pub(super) fn figure(number: f64) -> String {
    if number != 0.0 && !(1e-3..1e6).contains(&number.abs()) {
        return format!("{number:.2e}");
    }
    let text = significant(number, 4);
    match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text,
    }
}

fn significant(number: f64, digits: i32) -> String {
    let magnitude = if number == 0.0 { 0.0 } else { number.abs().log10().floor() };
    let decimals = (f64::from(digits) - 1.0 - magnitude).clamp(0.0, 12.0) as usize;
    format!("{number:.decimals$}")
}

/// A value of a metric: a share in percent, everything else as a number.
pub(super) fn value(measure: Measure, value: f64) -> String {
    if measure.is_share() { percent(value, 2) } else { figure(value) }
}

/// How a metric went from one value to another.
pub(super) fn difference(measure: Measure, before: f64, after: f64) -> String {
    if measure.is_share() { points(before, after) } else { change(before, after) }
}

/// `light tune`
pub(super) fn words(name: &str) -> String {
    name.replace('_', " ")
}

/// `Light tune`
pub(super) fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}

/// What a target counts.
pub(super) fn counted(metric: Metric) -> &'static str {
    match metric {
        Metric::Flops => "multiply-accumulates",
        Metric::Params => "parameters",
        Metric::Channels => "prunable channels",
        Metric::Latency => "latency",
    }
}

/// What proposed a network.
pub(super) fn origin(origin: Origin) -> &'static str {
    match origin {
        Origin::Sensitivity => "search by sensitivity",
        Origin::Similarity => "search by similarity",
        Origin::Regression => "search by regression",
        Origin::GreedySensitivity => "greedy by sensitivity",
        Origin::Uniform => "uniform",
        Origin::GlobalL1 => "global L1",
        Origin::GlobalL2 => "global L2",
        Origin::Config => "replayed configuration",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short() {
        assert_eq!(short(2_532_992.0), "2.53\u{a0}M");
        assert_eq!(short(14_000.0), "14.0\u{a0}k");
        assert_eq!(short(300.0), "300");
        assert_eq!(bytes(999), "999\u{a0}B");
        assert_eq!(bytes(1_221_467), "1.22\u{a0}MB");
    }

    #[test]
    fn changes_have_their_sign() {
        assert_eq!(change(200.0, 80.0), "−60.0\u{a0}%");
        assert_eq!(change(0.0, 80.0), "–");
        assert_eq!(points(0.9944, 0.9917), "−0.27\u{a0}points");
        assert_eq!(difference(Measure::MeanAbsoluteError, 2.0, 3.0), "+50.0\u{a0}%");
        assert_eq!(difference(Measure::Accuracy, 0.5, 0.75), "+25.00\u{a0}points");
    }

    #[test]
    fn times_and_figures_fit_their_size() {
        assert_eq!(duration(0.31), "0.3\u{a0}s");
        assert_eq!(duration(192.4), "3\u{a0}min 12\u{a0}s");
        assert_eq!(duration(7320.0), "2\u{a0}h 2\u{a0}min");
        assert_eq!(figure(4.768e-7), "4.77e-7");
        assert_eq!(figure(1.147_43), "1.147");
        assert_eq!(figure(0.0), "0");
        assert_eq!(figure(2.0), "2");
    }
}
