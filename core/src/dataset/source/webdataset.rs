//! WebDataset: members of one key, the name up to the first dot of its last part, are one sample, `0001.jpg` and `0001.cls`.

use super::super::{Split, invalid};
use super::archive::Archive;
use super::path::{PICTURES, base, is_junk, split_of_file, split_of_folder};
use super::{FileSample, Label, Labels};
use crate::rejection::Rejection;

/// The samples of shards.
#[derive(Debug)]
pub(super) struct Shards {
    /// Of each split, train first, in the order of the shards.
    pub samples: [Vec<FileSample>; 3],
    pub labels: Labels,
    /// Files that are no samples and were passed over.
    pub ignored: usize,
}

/// The key of a member and what follows it, `("train/0001", "seg.png")`.
fn key(name: &str) -> Option<(&str, &str)> {
    let start = name.len() - base(name).len();
    let dot = name[start..].find('.').filter(|&dot| dot > 0)?;
    Some((&name[..start + dot], &name[start + dot + 1..]))
}

/// Whether there are labels beside pictures.
pub(super) fn is_webdataset(archive: &Archive) -> bool {
    let mut last: Option<(&str, bool, bool)> = None;
    for member in 0..archive.len() {
        let Some((key, extension)) = key(archive.name(member)) else { continue };
        let (mut has_picture, mut has_label) = match last {
            Some((last, picture, label)) if last == key => (picture, label),
            _ => (false, false),
        };
        has_picture |= is_picture(extension);
        has_label |= is_label(extension);
        if has_picture && has_label {
            return true;
        }
        last = Some((key, has_picture, has_label));
    }
    false
}

fn is_picture(extension: &str) -> bool {
    PICTURES.contains(&extension.to_ascii_lowercase().as_str())
}

fn is_label(extension: &str) -> bool {
    matches!(extension, "cls" | "json")
}

/// Groups the members, which have to stand together, as WebDataset wants them too.
pub(super) fn read(archive: &Archive) -> Result<Shards, Rejection> {
    let mut samples: [Vec<FileSample>; 3] = Default::default();
    let mut ignored = 0;
    let mut member = 0;
    let mut is_labelled = false;
    while member < archive.len() {
        let name = archive.name(member);
        let Some((key_here, _)) = key(name).filter(|_| !is_junk(name)) else {
            ignored += 1;
            member += 1;
            continue;
        };
        let (mut picture, mut class, mut json) = (None, None, None);
        while member < archive.len() {
            let Some((_, extension)) = key(archive.name(member)).filter(|(key, _)| *key == key_here) else { break };
            match extension {
                extension if is_picture(extension) => {
                    if picture.replace(member).is_some() {
                        let name = archive.name(member);
                        return Err(invalid(format!("The sample `{key_here}` has two pictures; one is read."))
                            .at(name)
                            .hint("Write one picture for each key."));
                    }
                }
                "cls" => class = Some(member),
                "json" => json = Some(member),
                _ => ignored += 1,
            }
            member += 1;
        }
        let Some(picture) = picture else { continue };
        let label = class.map(Label::Text).or(json.map(Label::Json)).unwrap_or(Label::Missing);
        is_labelled |= label != Label::Missing;
        samples[split_of(key_here) as usize].push(FileSample { member: picture, label });
    }
    let labels = if is_labelled { Labels::Classes } else { Labels::None };
    if !is_labelled {
        samples.iter_mut().flatten().for_each(|sample| sample.label = Label::None);
    }
    Ok(Shards { samples, labels, ignored })
}

/// By a folder or a shard's name on the way to the sample, `val-000000.tar/0001`.
fn split_of(key: &str) -> Split {
    let folders = key.rsplit_once('/').map_or("", |(folders, _)| folders);
    let named = folders
        .split('/')
        .find_map(|folder| if folder.ends_with(".tar") { split_of_file(folder) } else { split_of_folder(folder) });
    named.unwrap_or(Split::Train)
}
