//! Pictures and labels of IDX files, packed with gzip or not.

use std::io::{BufRead, BufReader, Read};

use flate2::bufread::MultiGzDecoder;
use secateur_core::dataset::source::{Archive, IdxPair};

use super::super::crew::{Demand, Outbox};
use super::super::picture::Picture;
use super::{Bytes, Piece, unreadable};
use crate::error::Error;

const PICTURES_HEADER: u64 = 16;
const LABELS_HEADER: u64 = 8;

/// Hands out the pictures of a split.
pub(in super::super) fn read(
    archive: &Archive,
    pair: &IdxPair,
    order: &[u32],
    outbox: &mut Outbox<Piece>,
) -> Result<(), Error> {
    let mut labels = vec![0; pair.count];
    if let Some(member) = pair.labels {
        let failed = |error: std::io::Error| unreadable(archive.name(member), error);
        let mut reader = open(archive, member, LABELS_HEADER).map_err(failed)?;
        reader.read_exact(&mut labels).map_err(failed)?;
    }
    let name = archive.name(pair.pictures);
    let failed = |error: std::io::Error| unreadable(name, error);
    let [height, width] = pair.size;
    let mut reader = open(archive, pair.pictures, PICTURES_HEADER).map_err(failed)?;
    for (number, (&slot, &label)) in order.iter().zip(&labels).enumerate() {
        let mut pixels = vec![0; height * width];
        reader.read_exact(&mut pixels).map_err(failed)?;
        let picture = Picture { width, height, channels: 1, pixels };
        let name = format!("{name}, picture {number}");
        let piece = Piece::Row { name, bytes: Bytes::Pixels(picture), label: i64::from(label) };
        if outbox.send(slot as usize, piece) == Demand::Enough {
            return Ok(());
        }
    }
    Ok(())
}

/// The unpacked bytes behind the header.
fn open(archive: &Archive, member: u32, header: u64) -> std::io::Result<Box<dyn Read>> {
    let mut packed = BufReader::with_capacity(1 << 18, archive.open_member(member)?);
    let is_gzip = packed.fill_buf()?.starts_with(&[0x1f, 0x8b]);
    let mut bytes: Box<dyn Read> =
        if is_gzip { Box::new(BufReader::new(MultiGzDecoder::new(packed))) } else { Box::new(packed) };
    std::io::copy(&mut bytes.by_ref().take(header), &mut std::io::sink())?;
    Ok(bytes)
}
