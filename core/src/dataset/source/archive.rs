//! The files of an upload that is a zip, a tar or a packed tar: their names, and reading them.
//!
//! Names and places of all members are held, some tens of bytes and the name for each. Members of a zip and of a tar can be read in
//! any order and by several threads; those of a `.tar.gz` come one after the other ([`Archive::stream`]).

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::sync::Arc;

use flate2::Crc;
use flate2::read::{DeflateDecoder, MultiGzDecoder};

use super::super::invalid;
use super::region::{Region, Unpacked};
use crate::rejection::Rejection;
use crate::untrusted::tar::{self, Reader, TarError};
use crate::untrusted::zip::{Compression, Contents, Directory, DirectoryLimits};

/// Files of one upload; ImageNet has 1.3 million.
const MOST_MEMBERS: usize = 3_000_000;
/// Bytes of all their names together.
const LONGEST_NAMES: usize = 256 << 20;
const ZIP_LIMITS: DirectoryLimits = DirectoryLimits { entries: MOST_MEMBERS as u64, directory: 384 << 20 };
/// A packed archive may unpack to this many times its size and [`FREE_EXPANSION`] bytes.
const MAX_EXPANSION: u64 = 100;
const FREE_EXPANSION: u64 = 64 << 20;
/// Bytes of a small member that are known without reading the archive again.
const HEAD: u64 = 16 << 10;
const MOST_HEADS: usize = 64;

/// How the members lie in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Packing {
    Zip,
    Tar,
    TarGz,
}

/// The members of an upload.
#[derive(Debug)]
pub struct Archive {
    region: Region,
    packing: Packing,
    names: String,
    members: Vec<Place>,
    /// The first bytes of members that tell a format apart, of a `.tar.gz`.
    heads: HashMap<u32, Vec<u8>>,
}

/// Where a member is.
#[derive(Debug, Clone, Copy)]
struct Place {
    name_start: u32,
    name_length: u16,
    deflated: bool,
    /// In the file, or in the unpacked archive.
    offset: u64,
    packed_size: u64,
    size: u64,
    /// Of a zip's member.
    crc32: Option<u32>,
}

/// The members of an archive one after the other.
pub struct MemberStream {
    reader: Reader<Unpacked<BufReader<MultiGzDecoder<BufReader<Region>>>>>,
    next: u32,
}

fn damaged(error: TarError) -> Rejection {
    let rejection = invalid(format!("The tar archive is refused: {}.", error.detail));
    match error.member {
        Some(member) => rejection.at(member),
        None => rejection,
    }
}

impl Archive {
    /// Reads the names of all members; `None` when the file is neither a zip nor a tar, packed or not.
    pub(super) fn open(file: &Arc<File>) -> Result<Option<Self>, Rejection> {
        let unreadable = |error: io::Error| invalid(format!("The file could not be read: {error}."));
        let region = Region::whole(file).map_err(unreadable)?;
        let mut head = Vec::new();
        region.part(0, 512).read_to_end(&mut head).map_err(unreadable)?;
        if head.starts_with(b"PK\x03\x04") {
            return Self::read_zip(region).map(Some);
        }
        if tar::is_header(&head) {
            return Self::read_tar(region).map(Some);
        }
        if head.starts_with(&[0x1f, 0x8b]) {
            let mut unpacked = Vec::new();
            let is_read = gunzip(region.clone()).take(512).read_to_end(&mut unpacked);
            if is_read.is_ok() && tar::is_header(&unpacked) {
                return Self::read_tar_gz(region).map(Some);
            }
            return Err(invalid("The file is packed with gzip, but what is in it is no tar archive.")
                .hint("Upload a folder as `.tar.gz`, `.tar` or `.zip`."));
        }
        Ok(None)
    }

    fn read_zip(mut region: Region) -> Result<Self, Rejection> {
        let directory = Directory::read_as(&mut region, ZIP_LIMITS, Contents::Folder).map_err(|error| {
            let rejection = invalid(error.sentence());
            match error.entry {
                Some(entry) => rejection.at(entry),
                None => rejection,
            }
        })?;
        let mut archive = Self::empty(region, Packing::Zip);
        for entry in directory.entries() {
            let deflated = match entry.method {
                Compression::Stored => false,
                Compression::Deflated => true,
                Compression::Other(method) => {
                    return Err(invalid(format!(
                        "`{}` is packed by zip method {method}; 0 (stored) and 8 (deflated) are read.",
                        entry.name
                    ))
                    .at(entry.name));
                }
            };
            let place = Place {
                name_start: 0,
                name_length: 0,
                deflated,
                offset: entry.data_offset,
                packed_size: entry.packed_size,
                size: entry.size,
                crc32: Some(entry.crc32),
            };
            archive.push(entry.name, place)?;
        }
        Ok(archive)
    }

    fn read_tar(region: Region) -> Result<Self, Rejection> {
        let mut archive = Self::empty(region.clone(), Packing::Tar);
        archive.add_tar(region, "")?;
        Ok(archive)
    }

    /// Adds the members of a tar that lies in the file, their names behind `prefix`.
    fn add_tar(&mut self, region: Region, prefix: &str) -> Result<(), Rejection> {
        let (start, length) = (self.region.offset_of(&region), region.length());
        let mut reader = Reader::new(region);
        while let Some(member) = reader.next().map_err(damaged)? {
            if member.offset.saturating_add(member.size) > length {
                return Err(invalid(format!(
                    "The tar archive ends before its member `{}` does: it was cut off.",
                    member.name
                ))
                .at(member.name)
                .hint("Upload the file again."));
            }
            let place = Place {
                name_start: 0,
                name_length: 0,
                deflated: false,
                offset: start + member.offset,
                packed_size: member.size,
                size: member.size,
                crc32: None,
            };
            self.push(&format!("{prefix}{}", member.name), place)?;
        }
        Ok(())
    }

    fn read_tar_gz(region: Region) -> Result<Self, Rejection> {
        let mut archive = Self::empty(region, Packing::TarGz);
        let mut reader = archive.reader();
        while let Some(member) = reader.next().map_err(damaged)? {
            if is_telling(&member.name) && archive.heads.len() < MOST_HEADS {
                let mut head = Vec::new();
                reader.by_ref().take(HEAD).read_to_end(&mut head).map_err(|error| {
                    invalid(format!("`{}` could not be unpacked: {error}.", member.name)).at(&member.name)
                })?;
                archive.heads.insert(archive.members.len() as u32, head);
            }
            let place = Place {
                name_start: 0,
                name_length: 0,
                deflated: false,
                offset: member.offset,
                packed_size: member.size,
                size: member.size,
                crc32: None,
            };
            archive.push(&member.name, place)?;
        }
        // Behind the last member comes the checksum of the packed bytes.
        io::copy(&mut reader.into_stream(), &mut io::sink())
            .map_err(|error| invalid(format!("The archive could not be unpacked: {error}.")))?;
        Ok(archive)
    }

    fn empty(region: Region, packing: Packing) -> Self {
        Self { region, packing, names: String::new(), members: Vec::new(), heads: HashMap::new() }
    }

    fn push(&mut self, name: &str, place: Place) -> Result<(), Rejection> {
        if self.members.len() >= MOST_MEMBERS || self.names.len() + name.len() > LONGEST_NAMES {
            return Err(invalid(format!(
                "The archive has more than {MOST_MEMBERS} files, or more than {LONGEST_NAMES} bytes of names."
            )));
        }
        let Ok(name_length) = u16::try_from(name.len()) else {
            return Err(invalid(format!("A name has {} bytes; at most {} are read.", name.len(), u16::MAX)));
        };
        self.members.push(Place { name_start: self.names.len() as u32, name_length, ..place });
        self.names.push_str(name);
        Ok(())
    }

    /// How many files there are.
    pub fn len(&self) -> u32 {
        self.members.len() as u32
    }

    /// Whether there is no file at all.
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// The name of a member, with its folders.
    pub fn name(&self, member: u32) -> &str {
        let place = &self.members[member as usize];
        let start = place.name_start as usize;
        &self.names[start..start + usize::from(place.name_length)]
    }

    /// Bytes of a member, unpacked.
    pub fn size(&self, member: u32) -> u64 {
        self.members[member as usize].size
    }

    /// Whether members can be read in any order at the same cost.
    pub fn is_random_access(&self) -> bool {
        self.packing != Packing::TarGz
    }

    /// The bytes of a member where they lie in the file as they are.
    pub fn region(&self, member: u32) -> Option<Region> {
        let place = &self.members[member as usize];
        (self.is_random_access() && !place.deflated).then(|| self.region.part(place.offset, place.size))
    }

    /// A reader of one member from its first byte. In a `.tar.gz` everything before it is unpacked first.
    ///
    /// # Errors
    ///
    /// When the archive can no longer be read.
    pub fn open_member(&self, member: u32) -> io::Result<Box<dyn Read + Send>> {
        let place = &self.members[member as usize];
        if self.packing == Packing::TarGz {
            let mut reader = self.reader();
            for _ in 0..=member {
                reader.next().map_err(|error| io::Error::other(error.detail))?;
            }
            return Ok(Box::new(reader));
        }
        let packed = self.region.part(place.offset, place.packed_size);
        Ok(if place.deflated {
            Box::new(DeflateDecoder::new(BufReader::new(packed)).take(place.size))
        } else {
            Box::new(packed)
        })
    }

    /// All bytes of a member, whose checksum is compared where there is one.
    ///
    /// # Errors
    ///
    /// When it has more than `most` bytes, is damaged, or can no longer be read.
    pub fn read(&self, member: u32, most: u64) -> io::Result<Vec<u8>> {
        let place = &self.members[member as usize];
        if place.size > most {
            return Err(io::Error::other(format!("it has {} bytes; at most {most} are read", place.size)));
        }
        let mut bytes = Vec::new();
        self.open_member(member)?.read_to_end(&mut bytes)?;
        if bytes.len() as u64 != place.size {
            return Err(io::Error::other(format!("it has {} of its {} bytes", bytes.len(), place.size)));
        }
        if let Some(expected) = place.crc32 {
            let mut sum = Crc::new();
            sum.update(&bytes);
            if sum.sum() != expected {
                return Err(io::Error::other("its checksum is wrong"));
            }
        }
        Ok(bytes)
    }

    /// The first bytes of a member, at most 16 KiB.
    pub(super) fn head(&self, member: u32) -> io::Result<Vec<u8>> {
        if let Some(head) = self.heads.get(&member) {
            return Ok(head.clone());
        }
        let mut head = Vec::new();
        self.open_member(member)?.take(HEAD).read_to_end(&mut head)?;
        Ok(head)
    }

    /// Makes the members of tar archives in this one members of this one, `shard.tar/0001.jpg`.
    pub(super) fn flatten(self, shards: &[u32]) -> Result<Self, Rejection> {
        let mut flat = Self::empty(self.region.clone(), Packing::Tar);
        for &shard in shards {
            let name = self.name(shard);
            let Some(region) = self.region(shard) else {
                return Err(invalid(format!("The shard `{name}` is packed; shards are read as they are."))
                    .at(name)
                    .hint("Put the shards into a `.tar`, or into a `.zip` without compression (`zip -0`)."));
            };
            flat.add_tar(region, &format!("{name}/"))?;
        }
        Ok(flat)
    }

    /// All members from the first to the last, of an archive that gives them in no other order.
    pub fn stream(&self) -> MemberStream {
        MemberStream { reader: self.reader(), next: 0 }
    }

    fn reader(&self) -> Reader<Unpacked<BufReader<MultiGzDecoder<BufReader<Region>>>>> {
        let most = self.region.length().saturating_mul(MAX_EXPANSION).saturating_add(FREE_EXPANSION);
        let whole = self.region.part(0, self.region.length());
        Reader::new(Unpacked::new(BufReader::with_capacity(64 << 10, gunzip(whole)), most))
    }
}

impl MemberStream {
    /// The number of the next member; what [`Read`] gives then is its content. `None` behind the last one.
    ///
    /// # Errors
    ///
    /// When the archive can no longer be read.
    pub fn next_member(&mut self) -> io::Result<Option<u32>> {
        let member = self.reader.next().map_err(|error| io::Error::other(error.detail))?;
        let number = self.next;
        self.next += 1;
        Ok(member.map(|_| number))
    }
}

impl Read for MemberStream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.reader.read(buffer)
    }
}

fn gunzip(region: Region) -> MultiGzDecoder<BufReader<Region>> {
    MultiGzDecoder::new(BufReader::with_capacity(256 << 10, region))
}

/// Names of files whose first bytes say what the archive holds: class names and the headers of IDX files.
fn is_telling(name: &str) -> bool {
    name.ends_with("batches.meta.txt") || name.ends_with("label_names.txt") || name.contains("-ubyte")
}
