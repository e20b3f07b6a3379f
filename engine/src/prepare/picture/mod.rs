//! Pictures as PIL and torchvision give them: decoded, resized and cut to what a model takes.

mod decode;
mod geometry;
mod mask;
mod resample;

#[cfg(test)]
mod tests;

use std::sync::Mutex;

use secateur_core::dataset::source::Resize;
use secateur_core::rejection::Rejection;

pub use self::decode::Picture;
pub use self::geometry::Geometry;

/// How pictures become samples `[channels, height, width]`.
#[derive(Debug)]
pub struct Frame {
    pub channels: usize,
    geometry: Geometry,
    /// Held while a large picture is decoded, so that several threads do not hold one each.
    large: Mutex<()>,
}

impl Frame {
    /// # Errors
    /// A [`Rejection`] when the rule does not fit the model's size.
    pub fn new(channels: usize, height: usize, width: usize, resize: Option<Resize>) -> Result<Self, Rejection> {
        Ok(Self { channels, geometry: Geometry::new(height, width, resize)?, large: Mutex::new(()) })
    }

    /// An encoded picture as a sample, channels first.
    ///
    /// # Errors
    /// What is wrong with the picture, a clause without a full stop.
    pub fn sample(&self, encoded: &[u8]) -> Result<Vec<u8>, String> {
        self.with_decoder(decode::size(encoded)?, || self.fit(&decode::decode(encoded, self.channels)?))
    }

    /// A picture and its mask, which are resized and cut alike; the mask's values stay what they are.
    ///
    /// # Errors
    /// What is wrong with one of them.
    pub fn sample_with_mask(&self, encoded: &[u8], mask: &[u8]) -> Result<(Vec<u8>, Vec<u8>), String> {
        self.with_decoder(decode::size(encoded)?, || {
            let picture = decode::decode(encoded, self.channels)?;
            let mask = mask::decode(mask).map_err(|what| format!("its mask {what}"))?;
            if (mask.width, mask.height) != (picture.width, picture.height) {
                return Err(format!(
                    "it has {} x {} pixels, and its mask {} x {}",
                    picture.width, picture.height, mask.width, mask.height
                ));
            }
            let placed = self.geometry.place(picture.width, picture.height)?;
            Ok((self.fit(&picture)?, resample::nearest(&mask, &placed)))
        })
    }

    /// Pixels that are decoded already as a sample.
    ///
    /// # Errors
    /// What is wrong with the size.
    pub fn sample_of_pixels(&self, picture: &Picture) -> Result<Vec<u8>, String> {
        if picture.channels > self.channels { self.fit(&picture.grey()) } else { self.fit(picture) }
    }

    fn fit(&self, picture: &Picture) -> Result<Vec<u8>, String> {
        let placed = self.geometry.place(picture.width, picture.height)?;
        let fitted = resample::bilinear(picture, &placed);
        Ok(channels_first(&fitted, picture.channels, self.channels))
    }

    fn with_decoder<T>(&self, size: decode::Size, decode: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
        // A panic of a decoder is caught where the sample is counted as bad; nothing is guarded but memory.
        let _turn = size.is_large().then(|| self.large.lock().unwrap_or_else(std::sync::PoisonError::into_inner));
        decode()
    }
}

/// Interleaved pixels as planes; a grey plane is repeated for each colour.
fn channels_first(pixels: &[u8], from: usize, to: usize) -> Vec<u8> {
    debug_assert_eq!(pixels.len() % from, 0, "pixels are whole");
    match (from, to) {
        (1, _) => pixels.repeat(to),
        _ => (0..from).flat_map(|channel| pixels.iter().skip(channel).step_by(from).copied()).collect(),
    }
}
