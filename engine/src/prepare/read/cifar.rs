//! Records of CIFAR: labels, then a plane of 32 · 32 bytes for red, green and blue.

use std::io::{BufReader, Read};

use secateur_core::dataset::source::{Archive, Cifar};

use super::super::crew::{Demand, Outbox};
use super::super::picture::Picture;
use super::{Bytes, Piece, unreadable};
use crate::error::Error;

const SIDE: usize = 32;
const PLANE: usize = SIDE * SIDE;

/// Hands out the records of a split.
pub(in super::super) fn read(
    archive: &Archive,
    cifar: &Cifar,
    split: usize,
    order: &[u32],
    outbox: &mut Outbox<Piece>,
) -> Result<(), Error> {
    let mut record = vec![0; cifar.label_bytes + 3 * PLANE];
    let mut slots = order.iter();
    for &file in &cifar.files[split] {
        let name = archive.name(file);
        let failed = |error: std::io::Error| unreadable(name, error);
        let mut reader = BufReader::with_capacity(1 << 18, archive.open_member(file).map_err(failed)?);
        for number in 0..archive.size(file) / record.len() as u64 {
            reader.read_exact(&mut record).map_err(failed)?;
            let (labels, planes) = record.split_at(cifar.label_bytes);
            let pixels = (0..PLANE).flat_map(|at| [planes[at], planes[PLANE + at], planes[2 * PLANE + at]]).collect();
            let picture = Picture { width: SIDE, height: SIDE, channels: 3, pixels };
            let label = labels.last().copied().map_or(0, i64::from);
            let name = format!("{name}, record {number}");
            let slot = slots.next().map_or(0, |&slot| slot as usize);
            if outbox.send(slot, Piece::Row { name, bytes: Bytes::Pixels(picture), label }) == Demand::Enough {
                return Ok(());
            }
        }
    }
    Ok(())
}
