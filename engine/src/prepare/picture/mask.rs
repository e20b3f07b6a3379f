//! Masks: the numbers that `numpy.array(PIL.Image.open(mask))` gives, classes of pixels in a grey or a palette PNG.

use std::io::Cursor;

use png::{BitDepth, ColorType, Decoder, Limits, Transformations};

use super::decode::Picture;

/// Pixels of one mask, as of one picture.
const MOST_PIXELS: usize = 89_478_485;

/// Reads a mask; the error is a clause that follows "its mask".
pub(super) fn decode(encoded: &[u8]) -> Result<Picture, String> {
    let damaged = |error: png::DecodingError| format!("could not be decoded as PNG: {error}");
    let mut decoder = Decoder::new_with_limits(Cursor::new(encoded), Limits { bytes: MOST_PIXELS });
    decoder.set_transformations(Transformations::IDENTITY);
    let mut reader = decoder.read_info().map_err(damaged)?;
    let info = reader.info();
    let (width, height) = (info.width as usize, info.height as usize);
    if width.saturating_mul(height) > MOST_PIXELS {
        return Err(format!("says {width} x {height} pixels; at most {MOST_PIXELS} in all are read"));
    }
    let (colour, depth) = (info.color_type, info.bit_depth);
    if !matches!(colour, ColorType::Grayscale | ColorType::Indexed) {
        return Err(format!("has colours ({colour:?}); a grey or a palette PNG of class numbers is read"));
    }
    let size = reader.output_buffer_size().ok_or_else(|| "is too large".to_owned())?;
    let mut raw = vec![0; size];
    reader.next_frame(&mut raw).map_err(damaged)?;
    let row_bytes = size / height;
    let mut pixels = Vec::with_capacity(width * height);
    for row in raw.chunks_exact(row_bytes) {
        push_row(row, width, depth, colour == ColorType::Grayscale, &mut pixels)?;
    }
    Ok(Picture { width, height, channels: 1, pixels })
}

/// PIL spreads grey values of two and four bits over a byte, and leaves single bits and the places in a palette as they are.
fn push_row(row: &[u8], width: usize, depth: BitDepth, is_grey: bool, pixels: &mut Vec<u8>) -> Result<(), String> {
    let mut push_bits = |bits: usize, factor: u8| {
        let per_byte = 8 / bits;
        pixels.extend((0..width).map(|x| {
            let shift = 8 - bits * (x % per_byte + 1);
            (row[x / per_byte] >> shift & ((1 << bits) - 1) as u8) * factor
        }));
    };
    match depth {
        BitDepth::One => push_bits(1, 1),
        BitDepth::Two => push_bits(2, if is_grey { 85 } else { 1 }),
        BitDepth::Four => push_bits(4, if is_grey { 17 } else { 1 }),
        BitDepth::Eight => pixels.extend_from_slice(&row[..width]),
        BitDepth::Sixteen => {
            for pair in row.chunks_exact(2) {
                let value = u16::from_be_bytes([pair[0], pair[1]]);
                pixels.push(u8::try_from(value).map_err(|_| format!("has the class {value}; 255 is the largest"))?);
            }
        }
    }
    Ok(())
}
