//! Wall time of one forward pass at batch 1, of two networks side by side.
//!
//! The two take turns in short blocks, so that what else the machine does meets both alike.

use std::time::{Duration, Instant};

use secateur_core::latency::Latency;
use tch::Device;

use crate::error::Error;

const WARM_UP: usize = 5;
const BLOCK: usize = 5;
const RUNS: usize = 100;
const TIME_EACH: Duration = Duration::from_secs(2);

pub type Forward<'a> = dyn FnMut() -> Result<(), Error> + 'a;

/// Times both: up to 100 runs or two seconds each, whichever comes first.
pub fn side_by_side(
    base: &mut Forward,
    pruned: &mut Forward,
    threads: usize,
    device: Device,
) -> Result<(Latency, Latency), Error> {
    let mut milliseconds = [Vec::with_capacity(RUNS), Vec::with_capacity(RUNS)];
    for _ in 0..WARM_UP {
        timed(base, device)?;
        timed(pruned, device)?;
    }
    let started = Instant::now();
    while milliseconds[0].len() < RUNS && started.elapsed() < 2 * TIME_EACH {
        for _ in 0..BLOCK {
            milliseconds[0].push(timed(base, device)?);
        }
        for _ in 0..BLOCK {
            milliseconds[1].push(timed(pruned, device)?);
        }
    }
    let [base, pruned] = milliseconds.map(|times| summary(times, threads, device));
    Ok((base, pruned))
}

/// Milliseconds of one run, the device's queue included.
pub fn timed(forward: &mut Forward, device: Device) -> Result<f64, Error> {
    let started = Instant::now();
    forward()?;
    if let Device::Cuda(index) = device {
        tch::Cuda::synchronize(index as i64);
    }
    Ok(started.elapsed().as_secs_f64() * 1e3)
}

fn summary(mut milliseconds: Vec<f64>, threads: usize, device: Device) -> Latency {
    milliseconds.sort_by(f64::total_cmp);
    Latency {
        p50: percentile(&milliseconds, 0.50),
        p95: percentile(&milliseconds, 0.95),
        batch: 1,
        threads: threads as u32,
        device: device_name(device),
        runs: milliseconds.len() as u32,
    }
}

/// Nearest-rank percentile of sorted, non-empty values.
pub fn percentile(sorted: &[f64], share: f64) -> f64 {
    let rank = (share * sorted.len() as f64).ceil() as usize;
    sorted[rank.clamp(1, sorted.len()) - 1]
}

pub fn device_name(device: Device) -> String {
    match device {
        Device::Cuda(index) => format!("cuda:{index}"),
        _ => "cpu".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_measured_values() {
        let sorted: Vec<f64> = (1..=100).map(f64::from).collect();
        assert_eq!((percentile(&sorted, 0.5), percentile(&sorted, 0.95)), (50.0, 95.0));
        assert_eq!(percentile(&[7.0], 0.95), 7.0);
    }

    #[test]
    fn both_networks_run_equally_often() {
        let (mut first, mut second) = (0, 0);
        let (base, pruned) = side_by_side(
            &mut || {
                first += 1;
                Ok(())
            },
            &mut || {
                second += 1;
                Ok(())
            },
            1,
            Device::Cpu,
        )
        .unwrap();
        assert_eq!(first, second);
        assert_eq!((base.runs, pruned.runs), (100, 100));
    }
}
