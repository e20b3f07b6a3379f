//! Folders of pictures or recordings: a folder for each class, masks beside the pictures, or neither.

use std::collections::{BTreeMap, HashMap};

use super::super::{Split, invalid};
use super::archive::Archive;
use super::path::{base, is_junk, is_side, split_of_folder, wrapping};
use super::{FileSample, Label, Labels};
use crate::rejection::Rejection;

/// Folders that may be classes; ImageNet-21k has 22 thousand.
const MOST_CLASSES: usize = 100_000;

/// What a folder holds.
#[derive(Debug)]
pub(super) struct Folder {
    /// Of each split, train first, in the order of the archive.
    pub samples: [Vec<FileSample>; 3],
    /// Sorted as `sorted()` does in Python, so as torchvision's `ImageFolder` numbers them.
    pub classes: Vec<String>,
    pub labels: Labels,
    /// Files that are no samples and were passed over.
    pub ignored: usize,
}

/// A file that may be a sample.
struct Candidate<'a> {
    member: u32,
    split: Split,
    /// Below the split's folder.
    path: &'a str,
}

/// Sorts the files for which `is_sample` holds by split and class.
pub(super) fn read(archive: &Archive, is_sample: impl Fn(&str) -> bool) -> Result<Folder, Rejection> {
    let members: Vec<u32> = (0..archive.len())
        .filter(|&member| !is_junk(archive.name(member)) && is_sample(archive.name(member)))
        .collect();
    let start = wrapping(members.iter().map(|&member| archive.name(member)));
    let path = |member: u32| &archive.name(member)[start..];
    let ignored = archive.len() as usize - members.len();

    let sides =
        |side: &str| members.iter().any(|&member| side_of(path(member)).is_some_and(|(found, ..)| found == side));
    if sides("images") && sides("masks") {
        return read_masks(archive, &members, path, ignored);
    }
    let candidates = split(&members, path)?;
    let class = |candidate: &Candidate| candidate.path.split_once('/').map(|(class, _)| class.to_owned());
    let mut classes: BTreeMap<String, u32> = BTreeMap::new();
    let mut loose = None;
    for candidate in &candidates {
        match class(candidate) {
            Some(class) => drop(classes.entry(class).or_default()),
            None => loose = loose.or(Some(candidate.member)),
        }
    }
    let has_classes = classes.len() > 1 || classes.len() == 1 && loose.is_some();
    if let (true, Some(member)) = (has_classes, loose) {
        let name = archive.name(member);
        return Err(invalid(format!("`{name}` lies in no class folder, but other files do.")).at(name).hint(
            "Put every file into the folder of its class, `train/CLASS/file`, or all into one folder for a data set without labels.",
        ));
    }
    if classes.len() > MOST_CLASSES {
        return Err(invalid(format!("There are {} class folders; at most {MOST_CLASSES} are read.", classes.len())));
    }
    for (index, number) in classes.values_mut().enumerate() {
        *number = index as u32;
    }
    check_classes_of_train(archive, &candidates, &classes)?;
    let mut samples: [Vec<FileSample>; 3] = Default::default();
    for candidate in &candidates {
        let label = match class(candidate) {
            Some(class) if has_classes => Label::Class(classes[&class]),
            _ => Label::None,
        };
        samples[candidate.split as usize].push(FileSample { member: candidate.member, label });
    }
    let labels = if has_classes { Labels::Classes } else { Labels::None };
    let classes = if has_classes { classes.into_keys().collect() } else { Vec::new() };
    Ok(Folder { samples, classes, labels, ignored })
}

/// Takes the split's folder off each path. Without a folder `train` the folders are classes.
fn split<'a>(members: &[u32], path: impl Fn(u32) -> &'a str) -> Result<Vec<Candidate<'a>>, Rejection> {
    let split_of = |member: u32| path(member).split_once('/').and_then(|(folder, _)| split_of_folder(folder));
    let has_train = members.iter().any(|&member| split_of(member) == Some(Split::Train));
    let candidates = members.iter().map(|&member| {
        let path = path(member);
        match (has_train, split_of(member)) {
            (false, _) => Ok(Candidate { member, split: Split::Train, path }),
            (true, Some(split)) => {
                let (_, rest) = path.split_once('/').expect("a split is a folder");
                Ok(Candidate { member, split, path: rest })
            }
            (true, None) => Err(invalid(format!("`{path}` lies beside the folder `train` and in no split."))
                .at(path)
                .hint("Name the folders beside `train` `val` and `test`.")),
        }
    });
    candidates.collect()
}

/// A class that the network does not learn is a mistake in the folders' names.
fn check_classes_of_train(
    archive: &Archive,
    candidates: &[Candidate],
    classes: &BTreeMap<String, u32>,
) -> Result<(), Rejection> {
    if classes.len() < 2 {
        return Ok(());
    }
    let mut in_train = vec![false; classes.len()];
    let number = |candidate: &Candidate| candidate.path.split_once('/').map(|(class, _)| classes[class]);
    for candidate in candidates.iter().filter(|candidate| candidate.split == Split::Train) {
        if let Some(number) = number(candidate) {
            in_train[number as usize] = true;
        }
    }
    let stranger =
        candidates.iter().find(|candidate| number(candidate).is_some_and(|number| !in_train[number as usize]));
    stranger.map_or(Ok(()), |candidate| {
        let name = archive.name(candidate.member);
        let class = candidate.path.split('/').next().unwrap_or_default();
        Err(invalid(format!("`{name}` is of the class `{class}`, of which there is none in `train`."))
            .at(name)
            .hint("Name the class folders of all splits alike."))
    })
}

/// `images/a/b.jpg` and `masks/a/b.png`, below a split or with the splits below: the side, the split, and the path without its extension.
fn side_of(path: &str) -> Option<(&'static str, Split, &str)> {
    let side_name = |folder: &str| match folder.to_ascii_lowercase().as_str() {
        "images" => Some("images"),
        "masks" => Some("masks"),
        _ => None,
    };
    let (first, rest) = path.split_once('/')?;
    let (side, split, rest) = if is_side(first) {
        let below = rest.split_once('/').and_then(|(folder, rest)| Some((split_of_folder(folder)?, rest)));
        let (split, rest) = below.unwrap_or((Split::Train, rest));
        (side_name(first)?, split, rest)
    } else {
        let split = split_of_folder(first)?;
        let (second, rest) = rest.split_once('/')?;
        (side_name(second)?, split, rest)
    };
    let stem = rest.rsplit_once('.').map_or(rest, |(stem, _)| stem);
    Some((side, split, stem))
}

fn read_masks<'a>(
    archive: &Archive,
    members: &[u32],
    path: impl Fn(u32) -> &'a str,
    ignored: usize,
) -> Result<Folder, Rejection> {
    let mut masks = HashMap::new();
    let mut pictures = Vec::new();
    for &member in members {
        let path = path(member);
        let Some((side, split, stem)) = side_of(path) else {
            return Err(invalid(format!("`{path}` lies neither in `images` nor in `masks`.")).at(path));
        };
        if side == "images" {
            pictures.push((member, split, stem));
        } else if masks.insert((split as usize, stem), member).is_some() {
            return Err(invalid(format!("There are two masks for `{stem}`, `{path}` and another one.")).at(path));
        }
    }
    let mut samples: [Vec<FileSample>; 3] = Default::default();
    for (member, split, stem) in pictures {
        // A picture without a mask is a bad sample, and counted as one when the set is read.
        let label = masks.remove(&(split as usize, stem)).map_or(Label::Missing, Label::Mask);
        samples[split as usize].push(FileSample { member, label });
    }
    if let Some(&member) = masks.values().min() {
        let name = archive.name(member);
        return Err(invalid(format!("The mask `{name}` belongs to no picture.")).at(name).hint(format!(
            "Give the picture the name of its mask but for the extension, in `images`: `{}`.",
            base(name)
        )));
    }
    Ok(Folder { samples, classes: Vec::new(), labels: Labels::Masks, ignored })
}
