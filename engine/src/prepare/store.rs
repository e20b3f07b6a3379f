//! The file that training reads: arrays in one `.safetensors` file, samples of each split one after the other.
//!
//! How many samples are good is known at the end only, and arrays may not have gaps. So a split's samples have numbered slots, which
//! threads fill in any order; when it is done, the last good ones move into the slots of bad ones and the next split begins behind
//! them. Labels are held in memory and written last, into room that was left in front of the samples; what bad samples leave of it is
//! white space at the end of the header, which the format allows.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Seek, SeekFrom};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::error::Error;

/// Samples begin at a multiple of this, so that no element of theirs straddles two words.
const ALIGNMENT: u64 = 64;
/// Bytes of the header for one array, with the longest numbers.
const LONGEST_ENTRY: u64 = 320;
const LABEL: u64 = 8;
/// Bytes that are moved at a time.
const PIECE: usize = 1 << 20;

/// The type of the samples' elements.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Element {
    U8,
    F32,
    I64,
}

impl Element {
    pub(super) fn bytes(self) -> usize {
        match self {
            Self::U8 => 1,
            Self::F32 => 4,
            Self::I64 => 8,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::U8 => "U8",
            Self::F32 => "F32",
            Self::I64 => "I64",
        }
    }
}

/// What belongs to each sample in the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Target {
    None,
    Class,
    /// A byte for each pixel of `[height, width]`.
    Mask([usize; 2]),
}

/// The shape of what is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Form {
    /// Of one sample.
    pub shape: Vec<usize>,
    pub element: Element,
    pub target: Target,
}

impl Form {
    fn sample_bytes(&self) -> u64 {
        (self.shape.iter().product::<usize>() * self.element.bytes()) as u64
    }

    fn mask_bytes(&self) -> u64 {
        match self.target {
            Target::Mask([height, width]) => (height * width) as u64,
            Target::None | Target::Class => 0,
        }
    }
}

/// A store that is being written.
pub(super) struct Store {
    file: File,
    path: PathBuf,
    form: Form,
    /// Where the samples begin.
    front: u64,
    /// Where the next split begins.
    end: u64,
    /// By their names: type, shape and the bytes from the start of the file.
    arrays: BTreeMap<&'static str, (Element, Vec<usize>, u64, u64)>,
    /// Of the splits that are done, with the names of their arrays.
    labels: Vec<(&'static str, Vec<i64>)>,
}

/// The slots of one split, which threads fill.
pub(super) struct Slots<'a> {
    store: &'a Store,
    /// Masks until it is known where they go.
    masks: Option<(File, PathBuf)>,
}

impl Store {
    /// A store for at most so many samples in all splits together.
    ///
    /// # Errors
    /// When the file cannot be made, or the disk has not as much room as the samples take.
    pub(super) fn create(path: &Path, form: Form, samples: usize) -> Result<Self, Error> {
        let labels = if form.target == Target::Class { LABEL * samples as u64 } else { 0 };
        let front = (LABEL + 6 * LONGEST_ENTRY + labels).next_multiple_of(ALIGNMENT);
        let bytes = (form.sample_bytes() + form.mask_bytes()).saturating_mul(samples as u64).saturating_add(front);
        let file = File::options().read(true).write(true).create(true).truncate(true).open(path);
        let file = file.map_err(Error::file(path))?;
        check_room(&file, path, bytes)?;
        Ok(Self { file, path: path.to_owned(), form, front, end: front, arrays: BTreeMap::new(), labels: Vec::new() })
    }

    /// Opens slots for the samples of a split.
    pub(super) fn slots(&self) -> Result<Slots<'_>, Error> {
        let masks = match self.form.target {
            Target::Mask(_) => {
                let path = self.path.with_extension("masks");
                let file = File::options().read(true).write(true).create(true).truncate(true).open(&path);
                Some((file.map_err(Error::file(&path))?, path))
            }
            Target::None | Target::Class => None,
        };
        Ok(Slots { store: self, masks })
    }

    /// Makes arrays of the slots of a split: `labels` has one for each good slot, by its number, and `None` for a bad one. Returns how many
    /// samples the split has.
    pub(super) fn finish_split(
        &mut self,
        names: [&'static str; 2],
        masks: Option<(File, PathBuf)>,
        labels: Vec<Option<i64>>,
    ) -> Result<usize, Error> {
        let mut labels = labels;
        let good = labels.iter().flatten().count();
        let moves = moves(&labels);
        let (start, bytes) = (self.end, self.form.sample_bytes());
        for &(from, to) in &moves {
            move_bytes(&self.file, start + from as u64 * bytes, start + to as u64 * bytes, bytes)
                .map_err(written(&self.path))?;
            labels[to] = labels[from];
        }
        self.end = start + good as u64 * bytes;
        let count = |shape: &[usize]| [good].into_iter().chain(shape.iter().copied()).collect();
        self.arrays.insert(names[0], (self.form.element, count(&self.form.shape), start, self.end));
        match (&self.form.target, masks) {
            (Target::Mask(shape), Some((mut file, path))) => {
                let bytes = self.form.mask_bytes();
                for &(from, to) in &moves {
                    move_bytes(&file, from as u64 * bytes, to as u64 * bytes, bytes).map_err(written(&path))?;
                }
                let start = self.end;
                self.end += good as u64 * bytes;
                file.set_len(good as u64 * bytes).map_err(written(&path))?;
                file.seek(SeekFrom::Start(0)).map_err(Error::file(&path))?;
                self.file.seek(SeekFrom::Start(start)).map_err(Error::file(&self.path))?;
                io::copy(&mut file, &mut self.file).map_err(written(&self.path))?;
                std::fs::remove_file(&path).map_err(Error::file(&path))?;
                self.arrays.insert(names[1], (Element::U8, count(shape), start, self.end));
            }
            (Target::Class, _) => {
                labels.truncate(good);
                self.labels.push((names[1], labels.into_iter().flatten().collect()));
            }
            _ => {}
        }
        Ok(good)
    }

    /// Writes the labels and the header; the file is whole then.
    pub(super) fn finish(mut self) -> Result<(), Error> {
        self.file.set_len(self.end).map_err(written(&self.path))?;
        let labels: usize = self.labels.iter().map(|(_, labels)| labels.len()).sum();
        let mut at = self.front - LABEL * labels as u64;
        let data = at;
        for (name, labels) in std::mem::take(&mut self.labels) {
            let bytes: Vec<u8> = labels.iter().flat_map(|label| label.to_le_bytes()).collect();
            self.file.write_all_at(&bytes, at).map_err(written(&self.path))?;
            let end = at + bytes.len() as u64;
            self.arrays.insert(name, (Element::I64, vec![labels.len()], at, end));
            at = end;
        }
        let arrays = self.arrays.iter();
        let header = header(arrays.map(|(&name, (element, shape, start, end))| Entry {
            name,
            dtype: element.name(),
            shape,
            bytes: start - data..end - data,
        }));
        let length = data - 8;
        assert!(header.len() as u64 <= length, "room was left for the header");
        let mut bytes = length.to_le_bytes().to_vec();
        bytes.extend_from_slice(header.as_bytes());
        bytes.resize(data as usize, b' ');
        self.file.write_all_at(&bytes, 0).map_err(written(&self.path))?;
        self.file.sync_all().map_err(written(&self.path))
    }
}

impl Slots<'_> {
    /// Writes one sample, and its mask where samples have one.
    pub(super) fn put(&self, slot: usize, sample: &[u8], mask: Option<&[u8]>) -> Result<(), Error> {
        let Store { file, path, form, end, .. } = self.store;
        debug_assert_eq!(sample.len() as u64, form.sample_bytes(), "samples have the shape that was said");
        file.write_all_at(sample, end + slot as u64 * form.sample_bytes()).map_err(written(path))?;
        if let (Some((file, path)), Some(mask)) = (&self.masks, mask) {
            file.write_all_at(mask, slot as u64 * form.mask_bytes()).map_err(written(path))?;
        }
        Ok(())
    }

    /// The masks so far, for [`Store::finish_split`].
    pub(super) fn into_masks(self) -> Option<(File, PathBuf)> {
        self.masks
    }
}

/// Which good slots from the end go to which bad ones, so that the first ones are all good.
fn moves(labels: &[Option<i64>]) -> Vec<(usize, usize)> {
    let good = labels.iter().flatten().count();
    let holes = (0..good).filter(|&slot| labels[slot].is_none());
    let spare = (good..labels.len()).filter(|&slot| labels[slot].is_some());
    spare.zip(holes).collect()
}

fn move_bytes(file: &File, from: u64, to: u64, bytes: u64) -> io::Result<()> {
    let mut piece = vec![0; PIECE.min(bytes as usize)];
    let mut done = 0;
    while done < bytes {
        let count = piece.len().min((bytes - done) as usize);
        file.read_exact_at(&mut piece[..count], from + done)?;
        file.write_all_at(&piece[..count], to + done)?;
        done += count as u64;
    }
    Ok(())
}

/// An array in the header of a `.safetensors` file; its bytes are counted from the end of the header.
pub(super) struct Entry<'a> {
    pub name: &'a str,
    pub dtype: &'static str,
    pub shape: &'a [usize],
    pub bytes: Range<u64>,
}

/// The header of a `.safetensors` file, without its length.
pub(super) fn header<'a>(entries: impl Iterator<Item = Entry<'a>>) -> String {
    let entry = |Entry { name, dtype, shape, bytes }: Entry| {
        (name.to_owned(), json!({"dtype": dtype, "shape": shape, "data_offsets": [bytes.start, bytes.end]}))
    };
    Value::Object(entries.map(entry).collect()).to_string()
}

/// Refuses to begin what the disk has no room for.
pub(super) fn check_room(file: &File, path: &Path, bytes: u64) -> Result<(), Error> {
    let room = rustix::fs::fstatvfs(file).map_err(|error| Error::file(path)(error.into()))?;
    let free = room.f_bavail.saturating_mul(room.f_frsize);
    if bytes > free {
        return Err(Error::internal(format!(
            "the worker's disk has {free} bytes free, and the data set as training reads it takes {bytes}"
        )));
    }
    Ok(())
}

/// For `map_err` on writing: a full disk says what it is full of.
pub(super) fn written(path: &Path) -> impl Fn(io::Error) -> Error {
    let path = path.to_owned();
    move |error| match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
            Error::internal(format!(
                "the worker's disk is full: the data set as training reads it could not be written to {}: {error}",
                path.display()
            ))
        }
        _ => Error::file(&path)(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_good_samples_go_where_bad_ones_were() {
        let labels = [Some(0), None, Some(2), None, Some(4), Some(5), None];
        assert_eq!(moves(&labels), [(4, 1), (5, 3)]);
        assert_eq!(moves(&[Some(0), Some(1)]), []);
        assert_eq!(moves(&[None, None]), []);
    }

    #[test]
    fn a_disk_without_room_is_refused_before_anything_is_written() {
        let folder = tempfile::tempdir().unwrap();
        let form = Form { shape: vec![3, 1 << 20, 1 << 20], element: Element::F32, target: Target::None };
        let error = Store::create(&folder.path().join("x.safetensors"), form, 100_000).err().unwrap().to_string();
        assert!(error.contains("bytes free, and the data set as training reads it takes 1319413953"), "{error}");
    }
}
