//! Samples that are files of their own.

use std::collections::HashMap;
use std::io::Read;

use secateur_core::dataset::source::{Archive, FileSample};

use super::super::crew::{Demand, Outbox};
use super::{MOST_BYTES, Piece, unreadable};
use crate::error::Error;

/// Hands out the samples of a split: in the order that is wanted, or as they come out of a packed archive.
pub(in super::super) fn read(
    archive: &Archive,
    samples: &[FileSample],
    order: &[u32],
    outbox: &mut Outbox<Piece>,
) -> Result<(), Error> {
    if archive.is_random_access() {
        for (slot, &sample) in order.iter().enumerate() {
            if outbox.send(slot, Piece::Member(samples[sample as usize])) == Demand::Enough {
                return Ok(());
            }
        }
        return Ok(());
    }
    let places: HashMap<u32, (FileSample, u32)> =
        samples.iter().zip(order).map(|(sample, &slot)| (sample.member, (*sample, slot))).collect();
    let mut left = places.len();
    let mut stream = archive.stream();
    while left > 0 {
        let member = stream.next_member().map_err(|error| unreadable("the archive", error))?;
        let Some(member) = member else { return Err(unreadable("the archive", "it ends before its last sample")) };
        let Some((sample, slot)) = places.get(&member) else { continue };
        left -= 1;
        let size = archive.size(member);
        let demand = if size > MOST_BYTES {
            outbox.bad(archive.name(member).to_owned(), format!("it has {size} bytes; at most {MOST_BYTES} are read"))
        } else {
            let mut bytes = Vec::new();
            stream.read_to_end(&mut bytes).map_err(|error| unreadable(archive.name(member), error))?;
            outbox.send(*slot as usize, Piece::Streamed(*sample, bytes))
        };
        if demand == Demand::Enough {
            return Ok(());
        }
    }
    Ok(())
}
