//! Data sets in the formats that people have: folders of pictures or recordings, WebDataset, Parquet, CIFAR and IDX.
//!
//! [`Source::recognise`] tells by content what a file is and which samples it has: names and headers are read, no picture is
//! decoded. The server calls it to answer a bad upload at once; the engine calls it again and turns the samples into the arrays
//! that training reads. An archive is read from its first header to its last, a `.tar.gz` is unpacked for that; what is held is bounded
//! by constants in [`archive`] and never grows with what a header claims. Nothing here panics on any file.
//!
//! A file is an [`Archive`] of members or one table. Each format is one file here, which says what is a sample; the order in which
//! they are asked is that of [`Source::recognise`].

mod archive;
mod cifar;
mod folder;
mod idx;
mod parquet;
mod path;
mod region;
mod resize;
mod webdataset;

#[cfg(test)]
mod tests;

use std::fs::File;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{MAX_SAMPLES, Split, SplitCounts, invalid};
use crate::rejection::Rejection;

pub use self::archive::{Archive, MemberStream};
pub use self::cifar::Cifar;
pub use self::idx::IdxPair;
pub use self::parquet::{Columns, Table, Tables};
pub use self::region::Region;
pub use self::resize::{Resize, ResizePolicy};

const LAYOUTS: &str = "Pack a folder `train/CLASS/picture.jpg` with `val` and `test` beside `train`, and see the page on data for \
                       the other layouts.";

/// The format of a data set that is converted before it is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum SourceFormat {
    /// Pictures in a zip or a tar, by class or not.
    ImageFolder,
    /// Pictures and masks.
    Segmentation,
    /// Recordings in a zip or a tar, by class or not.
    SoundFolder,
    /// Tar shards whose members of one key are a sample.
    WebDataset,
    /// Tables with a column of pictures or tokens.
    Parquet,
    /// The binary version of CIFAR-10 or CIFAR-100.
    Cifar,
    /// The files of MNIST.
    Idx,
}

/// What belongs to a sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Labels {
    /// Nothing.
    None,
    /// The number of its class.
    Classes,
    /// A class for each pixel.
    Masks,
}

/// A description of a data set in one of these formats.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SourceSummary {
    /// The format of the file.
    pub format: SourceFormat,
    /// Samples of each split that the file has; what is missing is taken off `train` later.
    pub samples: SplitCounts,
    /// What belongs to a sample.
    pub labels: Labels,
    /// The names of the classes in the order of their numbers; empty where the file does not name them.
    pub classes: Vec<String>,
    /// Files in the archive that are no samples and are passed over.
    pub ignored: usize,
}

/// A sample that is a file of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileSample {
    /// The member with the picture or the recording.
    pub member: u32,
    /// What belongs to it.
    pub label: Label,
}

/// Where the label of a [`FileSample`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Label {
    /// The data set has none.
    None,
    /// Other samples have one, this one does not.
    Missing,
    /// The number of the class.
    Class(u32),
    /// A member whose text is the number.
    Text(u32),
    /// A member that is JSON, whose `label` is the number.
    Json(u32),
    /// A member that is a picture of classes.
    Mask(u32),
}

/// The samples of a data set, for whoever reads them.
#[derive(Debug)]
pub enum Content {
    /// Pictures, a file each, of train, val and test.
    Pictures(Archive, [Vec<FileSample>; 3]),
    /// Recordings, a file each, of train, val and test.
    Sounds(Archive, [Vec<FileSample>; 3]),
    /// Records of CIFAR.
    Cifar(Archive, Cifar),
    /// Pictures of MNIST, of train, val and test.
    Idx(Archive, [Option<IdxPair>; 3]),
    /// Rows of tables.
    Tables(Tables),
}

/// A data set that was recognised; no samples are held.
#[derive(Debug)]
pub struct Source {
    content: Content,
    summary: SourceSummary,
}

impl Source {
    /// Recognises a file by content. `None` when it is none of these formats and may be another one, arrays above all.
    ///
    /// # Errors
    ///
    /// [`crate::rejection::Code::InvalidDataset`] for an archive that is damaged, or that holds no data set; names the member and what
    /// is allowed.
    pub fn recognise(file: &Arc<File>) -> Result<Option<Self>, Rejection> {
        let region = Region::whole(file).map_err(|error| invalid(format!("The file could not be read: {error}.")))?;
        if parquet::is_parquet(&region) {
            return Self::of_tables(parquet::read_file(region)?, 0).map(Some);
        }
        let Some(archive) = Archive::open(file)? else { return Ok(None) };
        if is_of_arrays(&archive) {
            return Ok(None);
        }
        Self::of_archive(archive).map(Some)
    }

    fn of_archive(archive: Archive) -> Result<Self, Rejection> {
        if let Some(cifar) = cifar::read(&archive)? {
            let ignored = archive.len() as usize - cifar.files.iter().map(Vec::len).sum::<usize>();
            let (records, classes) = (cifar.records, cifar.classes.clone());
            let content = Content::Cifar(archive, cifar);
            return Self::new(content, SourceFormat::Cifar, records, Labels::Classes, classes, ignored);
        }
        if let Some(pairs) = idx::read(&archive)? {
            let counts = pairs.map(|pair| pair.map_or(0, |pair| pair.count));
            let present: Vec<&IdxPair> = pairs.iter().flatten().collect();
            let labels = if present.iter().all(|pair| pair.labels.is_some()) { Labels::Classes } else { Labels::None };
            let used: usize = present.iter().map(|pair| 1 + usize::from(pair.labels.is_some())).sum();
            let ignored = archive.len() as usize - used;
            return Self::new(Content::Idx(archive, pairs), SourceFormat::Idx, counts, labels, Vec::new(), ignored);
        }
        if let Some(tables) = parquet::read(&archive)? {
            let ignored = archive.len() as usize - tables.tables.iter().map(Vec::len).sum::<usize>();
            return Self::of_tables(tables, ignored);
        }
        let names = |is_wanted: fn(&str) -> bool| -> Vec<u32> {
            let is_meant = |&member: &u32| !path::is_junk(archive.name(member)) && is_wanted(archive.name(member));
            (0..archive.len()).filter(is_meant).collect()
        };
        let mut shards = names(|name| name.ends_with(".tar"));
        let pictures = names(path::is_picture).len();
        let sounds = names(is_sound).len();
        if pictures == 0 && !shards.is_empty() {
            shards.sort_by_key(|&shard| archive.name(shard));
            return Self::of_shards(archive.flatten(&shards)?);
        }
        if pictures > 0 && webdataset::is_webdataset(&archive) {
            return Self::of_shards(archive);
        }
        if pictures.max(sounds) == 0 {
            return Err(nothing_found(&archive));
        }
        if pictures >= sounds {
            let folder = folder::read(&archive, path::is_picture)?;
            let format = match folder.labels {
                Labels::Masks => SourceFormat::Segmentation,
                Labels::None | Labels::Classes => SourceFormat::ImageFolder,
            };
            if folder.labels == Labels::Masks {
                check_random_access(&archive)?;
            }
            let counts = folder.samples.each_ref().map(Vec::len);
            let content = Content::Pictures(archive, folder.samples);
            return Self::new(content, format, counts, folder.labels, folder.classes, folder.ignored);
        }
        let folder = folder::read(&archive, is_sound)?;
        let counts = folder.samples.each_ref().map(Vec::len);
        let content = Content::Sounds(archive, folder.samples);
        Self::new(content, SourceFormat::SoundFolder, counts, folder.labels, folder.classes, folder.ignored)
    }

    fn of_shards(archive: Archive) -> Result<Self, Rejection> {
        check_random_access(&archive)?;
        let shards = webdataset::read(&archive)?;
        let counts = shards.samples.each_ref().map(Vec::len);
        let content = Content::Pictures(archive, shards.samples);
        Self::new(content, SourceFormat::WebDataset, counts, shards.labels, Vec::new(), shards.ignored)
    }

    fn of_tables(tables: Tables, ignored: usize) -> Result<Self, Rejection> {
        let rows = |tables: &Vec<Table>| tables.iter().fold(0, |sum: usize, table| sum.saturating_add(table.rows));
        let counts = tables.tables.each_ref().map(rows);
        let labels = if tables.columns.labels.is_some() { Labels::Classes } else { Labels::None };
        let classes = tables.classes.clone();
        Self::new(Content::Tables(tables), SourceFormat::Parquet, counts, labels, classes, ignored)
    }

    fn new(
        content: Content,
        format: SourceFormat,
        counts: [usize; 3],
        labels: Labels,
        classes: Vec<String>,
        ignored: usize,
    ) -> Result<Self, Rejection> {
        let [train, val, test] = counts;
        if train == 0 {
            return Err(invalid(format!(
                "The data set has no samples to train on; {val} are for validation and {test} for the test."
            ))
            .hint(LAYOUTS));
        }
        if let Some(count) = counts.iter().find(|&&count| count > MAX_SAMPLES) {
            return Err(invalid(format!("A split has {count} samples; at most {MAX_SAMPLES} are read.")));
        }
        let summary = SourceSummary { format, samples: SplitCounts { train, val, test }, labels, classes, ignored };
        Ok(Self { content, summary })
    }

    /// What the data set holds.
    pub fn summary(&self) -> &SourceSummary {
        &self.summary
    }

    /// The shapes in which a model can be given the samples as they are stored, the likely one first; none where the format lets
    /// every sample have a size of its own.
    pub fn sample_shapes(&self) -> Vec<Vec<usize>> {
        match &self.content {
            Content::Cifar(..) => vec![cifar::SHAPE.to_vec()],
            Content::Idx(_, pairs) => {
                let mut sizes = pairs.iter().flatten().map(|pair| pair.size);
                match sizes.next() {
                    Some([height, width]) if sizes.all(|size| size == [height, width]) => {
                        vec![vec![1, height, width], vec![height, width]]
                    }
                    _ => Vec::new(),
                }
            }
            Content::Pictures(..) | Content::Sounds(..) | Content::Tables(_) => Vec::new(),
        }
    }

    /// Where the samples are.
    pub fn content(&self) -> &Content {
        &self.content
    }
}

impl SourceSummary {
    /// How many samples the file has of a split; those that are taken off `train` later are not counted.
    pub fn count(&self, split: Split) -> usize {
        match split {
            Split::Train => self.samples.train,
            Split::Val => self.samples.val,
            Split::Test => self.samples.test,
        }
    }
}

/// Whether an archive is one of arrays, or a model: other readers say what is wrong with it.
fn is_of_arrays(archive: &Archive) -> bool {
    let names = || (0..archive.len()).map(|member| archive.name(member));
    !archive.is_empty() && names().all(|name| name.ends_with(".npy")) || names().any(|name| name.ends_with("/data.pkl"))
}

fn is_sound(name: &str) -> bool {
    path::extension(name).is_some_and(|extension| extension == "wav")
}

fn check_random_access(archive: &Archive) -> Result<(), Rejection> {
    if archive.is_random_access() {
        return Ok(());
    }
    Err(invalid("The archive is packed as a whole, but the parts of a sample have to be read together.")
        .hint("Unpack it with `gunzip` and upload the `.tar`; pictures are packed already."))
}

fn nothing_found(archive: &Archive) -> Rejection {
    let names = (0..archive.len()).map(|member| archive.name(member));
    let first: Vec<String> =
        names.filter(|name| !path::is_junk(name)).take(3).map(|name| format!("`{name}`")).collect();
    let found = match first.len() {
        0 => "it is empty".to_owned(),
        _ => format!("it begins with {}", first.join(", ")),
    };
    invalid(format!(
        "The archive holds no data set that is read: {found}. There are no pictures ({}), no `.wav`, no `.parquet`, no shards, no \
         CIFAR, no IDX and not only `.npy` files.",
        path::PICTURES.map(|extension| format!("`.{extension}`")).join(", ")
    ))
    .hint(LAYOUTS)
}
