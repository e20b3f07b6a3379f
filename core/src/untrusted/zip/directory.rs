//! The central directory: every entry once, in the order of the file.
//!
//! It is read as a stream. What stays in memory is one text of all names, which is shorter than the directory itself, and
//! forty bytes for each entry.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::io::{BufReader, Read, Seek, SeekFrom};

use super::end::EndRecord;
use super::header::{CENTRAL_HEADER, CentralHeader, LocalReader, has_descriptor, read_local};
use super::{Compression, Contents, Entry, ZipError, unreadable};

/// A data descriptor behind the data is between 12 and 24 bytes long.
const LONGEST_DESCRIPTOR: u64 = 24;

/// What a caller allows.
#[derive(Debug, Clone, Copy)]
pub(crate) struct DirectoryLimits {
    pub entries: u64,
    /// Bytes of the central directory.
    pub directory: u64,
}

/// The entries of a zip file whose local and central headers agree, in the order of the file.
#[derive(Debug)]
pub(crate) struct Directory {
    names: String,
    rows: Vec<Row>,
}

/// An entry without its name, which lies in the text of all names.
#[derive(Debug)]
struct Row {
    /// In `names`, which is shorter than 4 GiB.
    name_start: u32,
    name_length: u16,
    method: Compression,
    crc32: u32,
    size: u64,
    packed_size: u64,
    data_offset: u64,
}

impl Directory {
    /// Reads the directory of a zip file and checks it against the local headers.
    pub(crate) fn read(file: &mut (impl Read + Seek), limits: DirectoryLimits) -> Result<Self, ZipError> {
        Self::read_as(file, limits, Contents::Records)
    }

    /// The same for a zip that may be a packed folder.
    pub(crate) fn read_as(
        file: &mut (impl Read + Seek),
        limits: DirectoryLimits,
        contents: Contents,
    ) -> Result<Self, ZipError> {
        let length = file.seek(SeekFrom::End(0)).map_err(unreadable)?;
        let end = EndRecord::read(file, length)?;
        check_limits(&end, limits)?;

        file.seek(SeekFrom::Start(end.directory_offset)).map_err(unreadable)?;
        let mut central = BufReader::new(file.take(end.directory_size));
        // The end record lies inside the file, so no more is reserved than the file has bytes.
        let names_size = end.directory_size.saturating_sub(end.entries * CENTRAL_HEADER);
        let mut directory =
            Self { names: String::with_capacity(names_size as usize), rows: Vec::with_capacity(end.entries as usize) };
        let mut flags = Vec::with_capacity(end.entries as usize);
        for number in 0..end.entries {
            let header = CentralHeader::read(&mut central, number, contents)?;
            flags.push(header.flags);
            directory.push(&header);
        }
        if central.read(&mut [0]).map_err(unreadable)? != 0 {
            return Err(ZipError::damaged("the zip directory is longer than its entries"));
        }
        directory.check_unique(contents)?;
        directory.locate_data(file, &flags, end.directory_offset)?;
        let names = std::mem::take(&mut directory.names);
        directory.rows.retain(|row| !names[..row.name_start as usize + usize::from(row.name_length)].ends_with('/'));
        directory.names = names;
        Ok(directory)
    }

    /// The number of entries.
    pub(crate) fn len(&self) -> usize {
        self.rows.len()
    }

    /// The entry at a place in the order of the file.
    pub(crate) fn entry(&self, index: usize) -> Entry<'_> {
        let row = &self.rows[index];
        let start = row.name_start as usize;
        Entry {
            name: &self.names[start..start + usize::from(row.name_length)],
            method: row.method,
            size: row.size,
            packed_size: row.packed_size,
            crc32: row.crc32,
            data_offset: row.data_offset,
        }
    }

    /// All entries in the order of the file.
    pub(crate) fn entries(&self) -> impl Iterator<Item = Entry<'_>> {
        (0..self.len()).map(|index| self.entry(index))
    }

    fn push(&mut self, header: &CentralHeader) {
        self.rows.push(Row {
            name_start: self.names.len() as u32,
            name_length: header.name.len() as u16,
            method: header.method,
            crc32: header.crc32,
            size: header.size,
            packed_size: header.packed_size,
            data_offset: header.header_offset,
        });
        self.names.push_str(&header.name);
    }

    /// Refuses names that occur twice, or differ in nothing but case where that does not tell them apart. They are compared by a keyed hash first, so that no second copy of
    /// them is made.
    fn check_unique(&self, contents: Contents) -> Result<(), ZipError> {
        let key = RandomState::new();
        let hash = |name: &str| match contents {
            Contents::Folder => key.hash_one(name),
            Contents::Records => {
                let mut hasher = key.build_hasher();
                lower_case(name).for_each(|character| hasher.write_u32(character.into()));
                hasher.finish()
            }
        };
        let is_same = |first: &str, second: &str| match contents {
            Contents::Folder => first == second,
            Contents::Records => lower_case(first).eq(lower_case(second)),
        };
        let why = match contents {
            Contents::Folder => "two entries of the zip have this name",
            Contents::Records => "two entries of the zip have this name; PyTorch does not tell upper from lower case",
        };
        let mut hashed: Vec<(u64, u32)> =
            self.entries().enumerate().map(|(index, entry)| (hash(entry.name), index as u32)).collect();
        hashed.sort_unstable();
        for pair in hashed.windows(2) {
            let [first, second] = [pair[0].1, pair[1].1].map(|index| self.entry(index as usize).name);
            if pair[0].0 == pair[1].0 && is_same(first, second) {
                return Err(ZipError::refused(why).at(second));
            }
        }
        Ok(())
    }

    /// Reads every local header and checks that the records lie one after the other from byte 0 to the directory.
    fn locate_data(
        &mut self,
        file: &mut (impl Read + Seek),
        flags: &[u16],
        directory_offset: u64,
    ) -> Result<(), ZipError> {
        let mut order: Vec<u32> = (0..self.rows.len() as u32).collect();
        order.sort_unstable_by_key(|&index| self.rows[index as usize].data_offset);

        file.seek(SeekFrom::Start(0)).map_err(unreadable)?;
        let mut local = LocalReader::new(file);
        let mut end_of_last = 0;
        let mut gap_allowed = 0;
        for &index in &order {
            let entry = self.entry(index as usize);
            // Until now this is where the local header starts.
            let header_offset = entry.data_offset;
            let flags = flags[index as usize];
            check_gap(end_of_last, header_offset, gap_allowed).map_err(|error| error.at(entry.name))?;
            let data_offset =
                read_local(&mut local, header_offset, entry, flags).map_err(|error| error.at(entry.name))?;
            end_of_last =
                data_offset.checked_add(entry.packed_size).filter(|&end| end <= directory_offset).ok_or_else(|| {
                    ZipError::damaged(format!("the entry of {} bytes does not lie inside the file", entry.packed_size))
                        .at(entry.name)
                })?;
            self.rows[index as usize].data_offset = data_offset;
            gap_allowed = if has_descriptor(flags) { LONGEST_DESCRIPTOR } else { 0 };
        }
        check_gap(end_of_last, directory_offset, gap_allowed)?;
        self.rows.sort_unstable_by_key(|row| row.data_offset);
        Ok(())
    }
}

fn lower_case(name: &str) -> impl Iterator<Item = char> {
    name.chars().flat_map(char::to_lowercase)
}

fn check_limits(end: &EndRecord, limits: DirectoryLimits) -> Result<(), ZipError> {
    if end.entries > limits.entries {
        return Err(ZipError::refused(format!(
            "the zip has {} entries; at most {} are read",
            end.entries, limits.entries
        )));
    }
    if end.directory_size > limits.directory {
        return Err(ZipError::refused(format!(
            "the directory of the zip has {} bytes; at most {} are read",
            end.directory_size, limits.directory
        )));
    }
    if end.entries > end.directory_size / CENTRAL_HEADER {
        return Err(ZipError::damaged(format!(
            "{} entries do not fit into a zip directory of {} bytes",
            end.entries, end.directory_size
        )));
    }
    Ok(())
}

fn check_gap(end: u64, next: u64, allowed: u64) -> Result<(), ZipError> {
    match next.checked_sub(end) {
        None => Err(ZipError::refused("the entry overlaps the one before it")),
        Some(gap) if gap > allowed => {
            Err(ZipError::refused(format!("{gap} bytes at {end} in the zip belong to no entry")))
        }
        Some(_) => Ok(()),
    }
}
