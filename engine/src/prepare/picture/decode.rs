//! Encoded pictures as PIL's `convert("RGB")` and `convert("L")` give them.
//!
//! The size in the header is compared with a limit before anything is reserved. Transparency is dropped, a 16-bit grey picture is
//! clipped at 255 and of 16-bit colours the upper byte counts, as in PIL; of an animation the first picture is read, and an
//! orientation in the EXIF data is not applied, as torchvision's loader does not either. JPEG is decoded by another program than
//! PIL's, which the format allows: single pixels of coarsely sampled colours differ.

use std::io::Cursor;

use image::{DynamicImage, GenericImageView, ImageDecoder, ImageFormat, ImageReader, Limits};

/// Pixels of one picture; PIL warns of more.
const MOST_PIXELS: u64 = 89_478_485;
/// Pixels of a picture that is decoded alone.
const LARGE: u64 = 8_000_000;
/// Bytes that a decoder may reserve for one picture of the most pixels, in 16 bits and four channels, and for its own work.
const MOST_MEMORY: u64 = MOST_PIXELS * 8 + (64 << 20);

/// Pixels of one byte for each channel, interleaved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Picture {
    pub width: usize,
    pub height: usize,
    /// 1 or 3.
    pub channels: usize,
    pub pixels: Vec<u8>,
}

/// A header's width and height.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Size {
    width: u32,
    height: u32,
}

impl Size {
    pub(super) fn is_large(self) -> bool {
        u64::from(self.width) * u64::from(self.height) > LARGE
    }
}

impl Picture {
    /// One channel of three, by ITU-R 601-2 in the fixed point of PIL's `convert("L")`.
    #[must_use]
    pub fn grey(&self) -> Self {
        let luma = |pixel: &[u8]| {
            let [red, green, blue] = [pixel[0], pixel[1], pixel[2]].map(u32::from);
            ((red * 19_595 + green * 38_470 + blue * 7_471 + 0x8000) >> 16) as u8
        };
        let pixels = self.pixels.chunks_exact(3).map(luma).collect();
        Self { width: self.width, height: self.height, channels: 1, pixels }
    }
}

/// What the header says, within the limit.
pub(super) fn size(encoded: &[u8]) -> Result<Size, String> {
    if format(encoded)? == ImageFormat::Jpeg && !has_end(encoded) {
        return Err("the JPEG is truncated: it has no end marker".to_owned());
    }
    let (width, height) = decoder(encoded)?.dimensions();
    let pixels = u64::from(width) * u64::from(height);
    if pixels == 0 || pixels > MOST_PIXELS {
        return Err(format!("its header says {width} x {height} pixels; at most {MOST_PIXELS} in all are read"));
    }
    Ok(Size { width, height })
}

/// The picture in one or three channels.
pub(super) fn decode(encoded: &[u8], channels: usize) -> Result<Picture, String> {
    size(encoded)?;
    let format = format(encoded)?;
    let image = DynamicImage::from_decoder(decoder(encoded)?).map_err(|error| not_decoded(format, &error))?;
    let (width, height) = image.dimensions();
    let pixels = match (image, channels) {
        (DynamicImage::ImageLuma16(grey), _) => {
            let grey = grey.into_raw().into_iter().map(|value| value.min(255) as u8).collect();
            return Ok(Picture { width: width as usize, height: height as usize, channels: 1, pixels: grey });
        }
        (DynamicImage::ImageLuma8(grey), _) => {
            return Ok(Picture {
                width: width as usize,
                height: height as usize,
                channels: 1,
                pixels: grey.into_raw(),
            });
        }
        (DynamicImage::ImageLumaA8(grey), _) => {
            let grey = every_first(grey.into_raw(), 2, 1);
            return Ok(Picture { width: width as usize, height: height as usize, channels: 1, pixels: grey });
        }
        (DynamicImage::ImageRgb8(colours), _) => colours.into_raw(),
        (DynamicImage::ImageRgba8(colours), _) => every_first(colours.into_raw(), 4, 3),
        (DynamicImage::ImageRgb16(colours), _) => upper_bytes(&colours.into_raw()),
        (DynamicImage::ImageRgba16(colours), _) => every_first(upper_bytes(&colours.into_raw()), 4, 3),
        (DynamicImage::ImageLumaA16(grey), _) => {
            let grey = every_first(upper_bytes(&grey.into_raw()), 2, 1);
            return Ok(Picture { width: width as usize, height: height as usize, channels: 1, pixels: grey });
        }
        (other, _) => return Err(format!("it has pixels of the kind {:?}, which is not read", other.color())),
    };
    let picture = Picture { width: width as usize, height: height as usize, channels: 3, pixels };
    Ok(if channels == 1 { picture.grey() } else { picture })
}

fn format(encoded: &[u8]) -> Result<ImageFormat, String> {
    match image::guess_format(encoded) {
        Ok(
            format @ (ImageFormat::Jpeg | ImageFormat::Png | ImageFormat::WebP | ImageFormat::Bmp | ImageFormat::Pnm),
        ) => Ok(format),
        Ok(other) => Err(format!("it is {other:?}; JPEG, PNG, WebP, BMP, PGM and PPM are read")),
        Err(_) if encoded.is_empty() => Err("it is empty".to_owned()),
        Err(_) => Err("it is no picture; JPEG, PNG, WebP, BMP, PGM and PPM are read".to_owned()),
    }
}

fn decoder(encoded: &[u8]) -> Result<impl ImageDecoder + '_, String> {
    let format = format(encoded)?;
    let mut reader = ImageReader::with_format(Cursor::new(encoded), format);
    let mut limits = Limits::default();
    limits.max_alloc = Some(MOST_MEMORY);
    reader.limits(limits);
    reader.into_decoder().map_err(|error| not_decoded(format, &error))
}

fn not_decoded(format: ImageFormat, error: &image::ImageError) -> String {
    format!("the {format:?} could not be decoded: {}", error.to_string().trim().trim_end_matches('.'))
}

/// Whether the end marker follows the pixels. A decoder fills up what is missing with grey, which nobody should learn from.
fn has_end(jpeg: &[u8]) -> bool {
    let mut at = 2;
    while let Some(&[0xff, marker]) = jpeg.get(at..at + 2) {
        if marker == 0xda {
            // Inside the pixels a byte 0xff is followed by 0 or by a marker.
            return jpeg[at..].windows(2).rev().any(|pair| pair == [0xff, 0xd9]);
        }
        let is_alone = matches!(marker, 0x01 | 0xd0..=0xd8 | 0xff);
        at += match jpeg.get(at + 2..at + 4) {
            _ if marker == 0xff => 1,
            _ if is_alone => 2,
            Some(length) => 2 + usize::from(u16::from_be_bytes([length[0], length[1]])),
            None => return false,
        };
    }
    false
}

fn every_first(values: Vec<u8>, of: usize, keep: usize) -> Vec<u8> {
    values.chunks_exact(of).flat_map(|pixel| &pixel[..keep]).copied().collect()
}

fn upper_bytes(values: &[u16]) -> Vec<u8> {
    values.iter().map(|value| (value >> 8) as u8).collect()
}
