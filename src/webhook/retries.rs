//! When a delivery is tried again: ten attempts within about a day.
//!
//! Between two attempts lies a random part of a pause that grows fivefold ("full jitter", AWS Architecture Blog, Exponential Backoff And
//! Jitter, 2015), so that receivers that were away are not met by everything at once. Added up the pauses are 23 hours on average and 47 at
//! most.

use std::time::Duration;

/// Attempts of a delivery before it is given up.
pub(super) const ATTEMPTS: i32 = 10;

const FIRST_PAUSE: Duration = Duration::from_secs(10);
const FACTOR: u32 = 5;
const LONGEST_PAUSE: Duration = Duration::from_hours(12);

/// The pause before the next attempt after so many in vain; `None` when there is none. `random` is a number from 0 to 1, and a
/// receiver may have asked for more time, of which it gets as much as the longest pause.
pub(super) fn pause(failures: i32, asked_for: Option<Duration>, random: f64) -> Option<Duration> {
    if failures >= ATTEMPTS {
        return None;
    }
    let growth = FACTOR.saturating_pow(failures.max(1).unsigned_abs() - 1);
    let longest = FIRST_PAUSE.saturating_mul(growth).min(LONGEST_PAUSE);
    let pause = longest.mul_f64(random);
    Some(asked_for.map_or(pause, |asked_for| pause.max(asked_for.min(LONGEST_PAUSE))))
}

/// A number from 0 to 1.
pub(super) fn random() -> f64 {
    let bits = getrandom::u64().expect("the system has random numbers");
    bits as f64 / u64::MAX as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole(random: f64) -> Duration {
        (1..ATTEMPTS).map(|failures| pause(failures, None, random).expect("it is tried again")).sum()
    }

    #[test]
    fn ten_attempts_take_about_a_day() {
        assert_eq!(pause(1, None, 1.0), Some(Duration::from_secs(10)));
        assert_eq!(pause(2, None, 1.0), Some(Duration::from_secs(50)));
        assert_eq!(pause(9, None, 1.0), Some(Duration::from_hours(12)));
        assert_eq!(pause(10, None, 1.0), None);
        assert_eq!(whole(0.0), Duration::ZERO);
        assert_eq!(whole(0.5).as_secs() / 3600, 23);
        assert_eq!(whole(1.0).as_secs() / 3600, 46);
    }

    #[test]
    fn a_receiver_that_asks_for_more_time_gets_it_within_bounds() {
        let asked_for = |seconds| pause(1, Some(Duration::from_secs(seconds)), 0.5);
        assert_eq!(asked_for(120), Some(Duration::from_mins(2)));
        assert_eq!(asked_for(1), Some(Duration::from_secs(5)), "not less than the usual");
        assert_eq!(asked_for(u64::MAX), Some(LONGEST_PAUSE));
        assert_eq!(pause(ATTEMPTS, Some(Duration::from_secs(1)), 0.5), None);
    }

    #[test]
    fn random_numbers_differ_and_stay_within_0_and_1() {
        let numbers: Vec<f64> = (0..100).map(|_| random()).collect();
        assert!(numbers.iter().all(|number| (0.0..=1.0).contains(number)));
        assert!(numbers.iter().any(|number| *number != numbers[0]));
    }
}
