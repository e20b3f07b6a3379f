//! Every candidate by what it costs and how good it was last measured to be.

use maud::{Markup, html};
use secateur_core::configuration::Origin;
use secateur_core::recovery::{Measure, MetricReport};
use secateur_core::report::{CandidateReport, Report};

use super::super::text;
use super::frame::{Axis, Frame};
use super::scale::Unit;

const FRAME: Frame = Frame { width: 920.0, height: 360.0 };

/// How far the training of a candidate went, from none to all of it, with its class in the drawing and its words.
const RUNGS: [(&str, &str); 4] =
    [("screened", "after surgery"), ("repaired", "repaired"), ("light", "lightly trained"), ("tuned", "fully trained")];

struct Point<'a> {
    candidate: &'a CandidateReport,
    rung: usize,
    value: f64,
}

/// `None` when no candidate was measured.
pub(in super::super) fn candidates(report: &Report) -> Option<Markup> {
    let points: Vec<Point> = report.candidates.iter().filter_map(measured).collect();
    if points.is_empty() {
        return None;
    }
    let metric = report.metric.as_ref();
    let measure = metric.map_or(Measure::Accuracy, |metric| metric.name);
    let base = metric.map(|metric| metric.base.val);
    let macs = Axis { title: "MACs of one sample".to_owned(), unit: Unit::Number };
    let values = Axis { title: format!("{} on validation", text::words(measure.as_str())), unit: Unit::of(measure) };
    let frame = FRAME.around(
        (macs, points.iter().map(|point| point.candidate.macs as f64).collect()),
        (values, points.iter().map(|point| point.value).chain(base).collect()),
    );
    let is_winner = |candidate: &CandidateReport| {
        (candidate.origin, candidate.macs, candidate.params)
            == (report.winner, report.pruned.macs, report.pruned.params)
    };
    let mut origins: Vec<Origin> = Vec::new();
    for point in &points {
        if !origins.contains(&point.candidate.origin) {
            origins.push(point.candidate.origin);
        }
    }
    let trainings: Vec<&str> = (0..RUNGS.len())
        .filter(|&rung| points.iter().any(|point| point.rung == rung))
        .map(|rung| RUNGS[rung].1)
        .collect();
    Some(html! {
        figure {
            svg viewBox=(frame.view_box()) role="img" aria-label="Candidates by multiply-accumulates and metric on validation" {
                (frame.grid())
                @if let Some(base) = base { (frame.level(base, &format!("the original, {}", text::value(measure, base)))) }
                path class="front" d=(stairs(&points, metric, |x, y| frame.place(x, y), frame.right())) {}
                @for point in &points {
                    @let (x, y) = frame.place(point.candidate.macs as f64, point.value);
                    g class={ "point " (RUNGS[point.rung].0) @if is_winner(point.candidate) { " winner" } }
                        transform={ "translate(" (format!("{x:.1}")) " " (format!("{y:.1}")) ")" } {
                        title { (describe(point, measure)) }
                        (mark(point.candidate.origin))
                    }
                }
            }
            figcaption {
                "Each mark is a network that was cut and measured. Up is better, left is cheaper; the line joins those that no cheaper one \
                 beats. The ringed one is the result. Marks: "
                @for (place, origin) in origins.iter().enumerate() {
                    @if place > 0 { ", " }
                    svg class="key tuned" viewBox="-8 -8 16 16" aria-hidden="true" { (mark(*origin)) } " " (text::origin(*origin))
                }
                ". The fuller a mark, the more its network was trained: "
                (trainings.join(", ")) "."
            }
        }
    })
}

fn measured(candidate: &CandidateReport) -> Option<Point<'_>> {
    let rungs = [
        candidate.screened_accuracy.or(candidate.screened_metric),
        candidate.repaired_accuracy.or(candidate.repaired_metric),
        candidate.light_accuracy.or(candidate.light_metric),
        candidate.tuned_accuracy.or(candidate.tuned_metric),
    ];
    let (rung, value) = rungs.into_iter().enumerate().filter_map(|(rung, value)| Some((rung, value?))).next_back()?;
    value.is_finite().then_some(Point { candidate, rung, value })
}

fn describe(point: &Point, measure: Measure) -> String {
    let CandidateReport { index, origin, macs, reduction, .. } = point.candidate;
    format!(
        "Candidate {index}, {}: {} MACs (−{}), {} {}",
        text::origin(*origin),
        text::short(*macs as f64),
        text::percent(*reduction, 1),
        text::value(measure, point.value),
        RUNGS[point.rung].1
    )
}

/// The best at each cost.
fn stairs(
    points: &[Point],
    metric: Option<&MetricReport>,
    place: impl Fn(f64, f64) -> (f64, f64),
    right: f64,
) -> String {
    let is_better = |value: f64, best: f64| match metric.is_none_or(|metric| metric.higher_is_better) {
        true => value > best,
        false => value < best,
    };
    let mut order: Vec<&Point> = points.iter().collect();
    order.sort_by_key(|point| point.candidate.macs);
    let (mut path, mut best) = (String::new(), None);
    for point in order {
        if best.is_some_and(|best| !is_better(point.value, best)) {
            continue;
        }
        let (x, y) = place(point.candidate.macs as f64, point.value);
        path += &if best.is_none() { format!("M{x:.1} {y:.1}") } else { format!("H{x:.1}V{y:.1}") };
        best = Some(point.value);
    }
    if !path.is_empty() {
        path += &format!("H{right:.1}");
    }
    path
}

/// Shapes tell origins apart where colours do not.
fn mark(origin: Origin) -> Markup {
    html! {
        @match origin {
            Origin::Uniform => rect class="uniform" x="-4.6" y="-4.6" width="9.2" height="9.2" {},
            Origin::GlobalL1 => path class="global" d="M0 -6 5.6 4.4 -5.6 4.4Z" {},
            Origin::GlobalL2 => path class="global" d="M0 6 5.6 -4.4 -5.6 -4.4Z" {},
            Origin::GreedySensitivity => path class="greedy" d="M0 -6.4 6.4 0 0 6.4 -6.4 0Z" {},
            Origin::Similarity | Origin::Sensitivity | Origin::Regression | Origin::Config => circle class="search" r="5" {},
        }
    }
}
