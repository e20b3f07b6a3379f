//! The names of files as people lay out folders: splits, classes, and what a computer leaves behind.

use super::super::Split;

/// Extensions of pictures that are read, in lower case.
pub(super) const PICTURES: [&str; 8] = ["jpg", "jpeg", "png", "webp", "bmp", "ppm", "pgm", "jfif"];

/// Whether a system or a program left the file behind, and nobody means it.
pub(super) fn is_junk(name: &str) -> bool {
    let left_behind = |part: &str| part.starts_with('.') || matches!(part, "__MACOSX" | "Thumbs.db" | "desktop.ini");
    name.split('/').any(left_behind)
}

/// The last part of a name.
pub(super) fn base(name: &str) -> &str {
    name.rsplit('/').next().unwrap_or(name)
}

/// What follows the last dot of the last part, in lower case.
pub(super) fn extension(name: &str) -> Option<String> {
    base(name).rsplit_once('.').map(|(_, extension)| extension.to_ascii_lowercase())
}

/// Whether the name is that of a picture that is read.
pub(super) fn is_picture(name: &str) -> bool {
    extension(name).is_some_and(|extension| PICTURES.contains(&extension.as_str()))
}

/// The split that a folder of this name is.
pub(super) fn split_of_folder(folder: &str) -> Option<Split> {
    match folder.to_ascii_lowercase().as_str() {
        "train" | "training" => Some(Split::Train),
        "val" | "valid" | "validation" => Some(Split::Val),
        "test" | "testing" => Some(Split::Test),
        _ => None,
    }
}

/// The split that a file `train-00000-of-00002.parquet` or `val_3.tar` belongs to: by the letters it begins with.
pub(super) fn split_of_file(name: &str) -> Option<Split> {
    let base = base(name);
    let end = base.find(|letter: char| !letter.is_ascii_alphabetic()).unwrap_or(base.len());
    split_of_folder(&base[..end])
}

/// Bytes of the folders that all names have in common and that say nothing: one is left where it may be a class, and none that is a
/// split or named `images` or `masks` is passed over.
pub(super) fn wrapping<'a>(names: impl Iterator<Item = &'a str> + Clone) -> usize {
    let mut passed = 0;
    loop {
        let folder = |name: &'a str| {
            let (folder, rest) = name[passed..].split_once('/')?;
            rest.contains('/').then_some(folder)
        };
        let mut rest = names.clone();
        let Some(first) = rest.next().and_then(folder) else { return passed };
        let says_something = split_of_folder(first).is_some() || is_side(first);
        if says_something || !rest.all(|name| folder(name) == Some(first)) {
            return passed;
        }
        passed += first.len() + 1;
    }
}

/// Whether a folder holds one side of a segmentation set.
pub(super) fn is_side(folder: &str) -> bool {
    matches!(folder.to_ascii_lowercase().as_str(), "images" | "masks")
}
