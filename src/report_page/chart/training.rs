//! The full fine-tune of the result, epoch by epoch.

use maud::{Markup, html};
use secateur_core::recovery::{Epoch, Measure, Recipe};
use secateur_core::report::Report;
use secateur_core::spec::{BatchNorm, Optimizer, Precision};

use super::super::text;
use super::frame::{Axis, Frame};
use super::scale::Unit;

const FRAME: Frame = Frame { width: 450.0, height: 260.0 };

/// Two curves, of the loss and of the metric on validation; `None` with less than two epochs.
pub(in super::super) fn training(report: &Report) -> Option<Markup> {
    if report.epochs.len() < 2 {
        return None;
    }
    let measure = report.metric.as_ref().map_or(Measure::Accuracy, |metric| metric.name);
    let title = format!("{} on validation", text::words(measure.as_str()));
    let losses = report.epochs.iter().map(|epoch| (epoch, epoch.train_loss)).collect::<Vec<_>>();
    let values: Vec<(&Epoch, f64)> =
        report.epochs.iter().filter_map(|epoch| Some((epoch, epoch.val_accuracy.or(epoch.val_metric)?))).collect();
    let best = report.best_epoch;
    Some(html! {
        figure class="pair" {
            (curve(&losses, best, "training loss", Unit::Number))
            @if values.len() > 1 { (curve(&values, best, &title, Unit::of(measure))) }
            figcaption {
                "The full fine-tune of the result. "
                @match best {
                    Some(0) => "No epoch was better on validation than the weights before the first, which were kept.",
                    Some(epoch) => { "The weights after epoch " (epoch) " were the best on validation and were kept." }
                    None => "",
                }
                @if let Some(recipe) = &report.recipe { " " (how(recipe)) }
            }
        }
    })
}

/// `It ran with AdamW at a learning rate of 0.0005, with batch norm frozen, in bfloat16.`
fn how(recipe: &Recipe) -> String {
    let optimizer = match recipe.optimizer {
        Optimizer::Adamw => "AdamW",
        Optimizer::Sgd | Optimizer::Auto => "SGD",
    };
    let frozen = if recipe.batch_norm == BatchNorm::Frozen { ", with batch norm frozen" } else { "" };
    let precision = if recipe.precision == Precision::Bfloat16 { ", in bfloat16" } else { "" };
    format!("It ran with {optimizer} at a learning rate of {}{frozen}{precision}.", recipe.lr)
}

fn curve(points: &[(&Epoch, f64)], best: Option<u32>, title: &str, unit: Unit) -> Markup {
    let points: Vec<(u32, f64)> =
        points.iter().filter(|(_, value)| value.is_finite()).map(|(epoch, value)| (epoch.epoch, *value)).collect();
    let epochs = Axis { title: "epoch".to_owned(), unit: Unit::Number };
    let values = Axis { title: title.to_owned(), unit };
    let chart = FRAME.around(
        (epochs, points.iter().map(|(epoch, _)| f64::from(*epoch)).collect()),
        (values, points.iter().map(|(_, value)| *value).collect()),
    );
    let places: Vec<(f64, f64)> = points.iter().map(|&(epoch, value)| chart.place(f64::from(epoch), value)).collect();
    let line: Vec<String> = places.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
    let kept = points.iter().position(|(epoch, _)| Some(*epoch) == best);
    html! {
        svg viewBox=(chart.view_box()) role="img" aria-label={ (title) " by epoch" } {
            (chart.grid())
            polyline class="curve" points=(line.join(" ")) {}
            @if let Some(kept) = kept {
                circle class="kept" cx=(format!("{:.1}", places[kept].0)) cy=(format!("{:.1}", places[kept].1)) r="5" {
                    title { "epoch " (points[kept].0) ", " (text::figure(points[kept].1)) }
                }
            }
        }
    }
}
