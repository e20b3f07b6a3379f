//! The learning rate of every step.

/// Linear warm-up over the first 5 % of the steps, then a cosine to zero.
pub(super) struct Schedule {
    peak: f64,
    warm_up: u64,
    total: u64,
    step: u64,
}

impl Schedule {
    pub(super) fn new(peak: f64, total: u64) -> Self {
        Self { peak, warm_up: total.div_ceil(20), total, step: 0 }
    }

    /// The same schedule after this many steps.
    pub(super) fn after(self, step: u64) -> Self {
        Self { step, ..self }
    }

    /// The rate of the next step.
    pub(super) fn next(&mut self) -> f64 {
        let step = self.step;
        self.step += 1;
        if step < self.warm_up {
            return self.peak * (step + 1) as f64 / self.warm_up as f64;
        }
        let share = (step - self.warm_up) as f64 / (self.total - self.warm_up).max(1) as f64;
        self.peak * 0.5 * (1.0 + (std::f64::consts::PI * share.min(1.0)).cos())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_rises_to_its_peak_and_falls_to_nothing() {
        let mut schedule = Schedule::new(0.1, 200);
        let rates: Vec<f64> = (0..200).map(|_| schedule.next()).collect();
        assert!((rates[0] - 0.01).abs() < 1e-12);
        assert!((rates[9] - 0.1).abs() < 1e-12);
        assert!(rates[10..].windows(2).all(|pair| pair[1] < pair[0]));
        assert!(rates[199] < 1e-4 && rates[199] > 0.0);
    }

    #[test]
    fn a_single_step_runs_at_the_peak() {
        assert_eq!(Schedule::new(0.1, 1).next(), 0.1);
    }
}
