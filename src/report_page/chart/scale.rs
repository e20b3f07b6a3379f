//! From values to places in a drawing, and the round values that are written beside it.

use secateur_core::recovery::Measure;

use super::super::text;

/// Room beyond the least and the largest value, as a share of the range.
const ROOM: f64 = 0.08;

/// More marks than this are never made, whatever the values.
const MOST_TICKS: usize = 12;

/// What the values of an axis are.
#[derive(Debug, Clone, Copy)]
pub(super) enum Unit {
    /// Shares, written in percent.
    Share,
    Number,
}

impl Unit {
    /// Of the values of a metric.
    pub(super) fn of(measure: Measure) -> Self {
        if measure.is_share() { Self::Share } else { Self::Number }
    }
}

/// One axis of a chart.
#[derive(Debug)]
pub(super) struct Scale {
    low: f64,
    high: f64,
    from: f64,
    to: f64,
}

impl Scale {
    /// A scale that all values are on; `from` is where the least stands, `to` where the largest. Values that are not finite have no place.
    pub(super) fn over(values: impl IntoIterator<Item = f64>, from: f64, to: f64) -> Self {
        let finite = values.into_iter().filter(|value| value.is_finite());
        let (least, most) =
            finite.fold((f64::INFINITY, f64::NEG_INFINITY), |(least, most), value| (least.min(value), most.max(value)));
        let range = most - least;
        let room = match range > 0.0 && range.is_finite() {
            true => range * ROOM,
            false => (most.abs() * 0.01).max(0.01),
        };
        match least.is_finite() && most.is_finite() && (most - least).is_finite() {
            true => Self { low: least - room, high: most + room, from, to },
            false => Self { low: 0.0, high: 1.0, from, to },
        }
    }

    pub(super) fn at(&self, value: f64) -> f64 {
        self.from + (value - self.low) / (self.high - self.low) * (self.to - self.from)
    }

    /// Round values inside of the scale.
    pub(super) fn ticks(&self) -> Vec<f64> {
        let step = self.step();
        let first = (self.low / step).ceil();
        (0..MOST_TICKS).map(|count| (first + count as f64) * step).take_while(|&tick| tick <= self.high).collect()
    }

    /// A tick in a unit, with as many digits as tell it from its neighbours.
    pub(super) fn text(&self, tick: f64, unit: Unit) -> String {
        let (size, symbol) = match unit {
            Unit::Share => (0.01, "\u{a0}%"),
            Unit::Number => text::size_of(self.low.abs().max(self.high.abs())),
        };
        let step = self.step() / size;
        let decimals = (0..8).find(|&digits| {
            let whole = step * 10f64.powi(digits);
            whole > 0.99 && (whole - whole.round()).abs() < 1e-6
        });
        match decimals {
            Some(decimals) => format!("{:.*}{symbol}", decimals as usize, tick / size),
            None => text::figure(tick),
        }
    }

    fn step(&self) -> f64 {
        let rough = (self.high - self.low) / 4.0;
        let size = 10f64.powf(rough.log10().floor());
        [1.0, 2.0, 2.5, 5.0, 10.0].map(|factor| factor * size).into_iter().find(|&step| step >= rough).unwrap_or(rough)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_inside() {
        let scale = Scale::over([0.9, 0.99, 0.95], 100.0, 0.0);
        assert_eq!(scale.ticks().iter().map(|tick| format!("{tick:.3}")).collect::<Vec<_>>(), ["0.900", "0.950"]);
        assert_eq!(scale.text(0.95, Unit::Share), "95\u{a0}%");
        assert_eq!(scale.text(0.95, Unit::Number), "0.95");
        assert!(scale.at(0.9) > scale.at(0.99), "the larger value stands higher");
        let scale = Scale::over([1_002_000.0, 1_013_000.0], 0.0, 100.0);
        assert_eq!(scale.text(1_005_000.0, Unit::Number), "1.005\u{a0}M");
    }

    #[test]
    fn one_value_stands_in_the_middle() {
        let scale = Scale::over([5.0], 0.0, 100.0);
        assert!((scale.at(5.0) - 50.0).abs() < 1e-9);
        assert!(!scale.ticks().is_empty());
    }

    #[test]
    fn values_without_a_place_break_nothing() {
        for values in [vec![], vec![f64::NAN], vec![f64::MAX, f64::MIN], vec![f64::INFINITY, 1.0], vec![0.0, 5e-324]] {
            let scale = Scale::over(values.clone(), 0.0, 100.0);
            let ticks = scale.ticks();
            assert!(
                ticks.len() <= MOST_TICKS && ticks.iter().all(|&tick| scale.at(tick).is_finite()),
                "{values:?} {ticks:?}"
            );
        }
    }
}
