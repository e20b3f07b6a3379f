//! Recordings: WAV files as `[samples]` between -1 and 1, of one channel, as `soundfile.read` scales them.

use std::io::Cursor;
use std::sync::Mutex;

use hound::{SampleFormat, WavReader};

/// Bytes of a decoded recording.
const MOST_SAMPLES: u64 = 64 << 20;

/// The sampling rate that all recordings of a set have to have.
#[derive(Debug, Default)]
pub(super) struct Rate(Mutex<Option<(u32, String)>>);

/// Why a recording is no sample.
pub(super) enum Fault {
    /// This one is damaged.
    Bad(String),
    /// It does not belong with the others: whoever made the set has to change it.
    Rate { found: u32, rate: u32, name: String },
}

impl Rate {
    /// `length` numbers of the recording: the first ones, or all and zeros behind them. Channels are averaged.
    pub(super) fn sample(&self, name: &str, encoded: &[u8], length: usize) -> Result<Vec<f32>, Fault> {
        let bad = |error: hound::Error| Fault::Bad(format!("the WAV could not be decoded: {error}"));
        let mut reader = WavReader::new(Cursor::new(encoded)).map_err(bad)?;
        let spec = reader.spec();
        if spec.channels == 0 || u64::from(reader.len()) > MOST_SAMPLES {
            return Err(Fault::Bad(format!(
                "its header says {} channels and {} samples; at least one channel and at most {MOST_SAMPLES} samples are read",
                spec.channels,
                reader.len()
            )));
        }
        self.compare(name, spec.sample_rate)?;
        let channels = usize::from(spec.channels);
        let wanted = length.saturating_mul(channels);
        let numbers: Result<Vec<f32>, hound::Error> = match spec.sample_format {
            SampleFormat::Float => reader.samples::<f32>().take(wanted).collect(),
            SampleFormat::Int => {
                let largest = (1u64 << (spec.bits_per_sample.clamp(1, 32) - 1)) as f32;
                reader.samples::<i32>().take(wanted).map(|number| Ok(number? as f32 / largest)).collect()
            }
        };
        let numbers = numbers.map_err(bad)?;
        if numbers.len() < channels {
            return Err(Fault::Bad("it holds no sample".to_owned()));
        }
        if let Some(number) = numbers.iter().find(|number| !number.is_finite()) {
            return Err(Fault::Bad(format!("it has the value {number}; finite numbers are read")));
        }
        let mut mono: Vec<f32> =
            numbers.chunks_exact(channels).map(|frame| frame.iter().sum::<f32>() / channels as f32).collect();
        mono.resize(length, 0.0);
        Ok(mono)
    }

    fn compare(&self, name: &str, found: u32) -> Result<(), Fault> {
        let mut first = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        match &*first {
            None => *first = Some((found, name.to_owned())),
            Some((rate, other)) if *rate != found => {
                return Err(Fault::Rate { found, rate: *rate, name: other.clone() });
            }
            Some(_) => {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wav(rate: u32, channels: u16, samples: &[i16]) -> Vec<u8> {
        let spec =
            hound::WavSpec { channels, sample_rate: rate, bits_per_sample: 16, sample_format: SampleFormat::Int };
        let mut bytes = Cursor::new(Vec::new());
        let mut writer = hound::WavWriter::new(&mut bytes, spec).unwrap();
        for &sample in samples {
            writer.write_sample(sample).unwrap();
        }
        writer.finalize().unwrap();
        bytes.into_inner()
    }

    #[test]
    fn channels_are_averaged_and_the_end_is_padded_or_cut() {
        let stereo = wav(8000, 2, &[16384, 0, -32768, -32768, 8192, 8192]);
        let sample = |length| Rate::default().sample("a.wav", &stereo, length).ok().unwrap();
        assert_eq!(sample(4), [0.25, -1.0, 0.25, 0.0]);
        assert_eq!(sample(1), [0.25]);
    }

    #[test]
    fn another_rate_names_both_recordings() {
        let rate = Rate::default();
        assert!(rate.sample("a.wav", &wav(8000, 1, &[1]), 1).is_ok());
        let Err(Fault::Rate { found, rate, name }) = rate.sample("b.wav", &wav(16_000, 1, &[1]), 1) else { panic!() };
        assert_eq!((found, rate, name.as_str()), (16_000, 8000, "a.wav"));
    }
}
