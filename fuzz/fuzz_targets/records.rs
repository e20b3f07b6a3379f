#![no_main]
//! An archive of any records under any names, with a few bytes of its headers changed.

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use secateur_fuzz::{network, preflight, zip};

#[derive(Debug, Arbitrary)]
struct Upload {
    root: String,
    without: u8,
    added: Vec<(Name, Vec<u8>)>,
    changes: Vec<(u16, u8)>,
}

#[derive(Debug, Arbitrary)]
enum Name {
    Known(u8),
    In(u8, String),
    Any(String),
}

const KNOWN: [&str; 8] = [
    "data.pkl",
    "constants.pkl",
    "traced_inputs.pkl",
    "bytecode.pkl",
    "version",
    ".data/version",
    "byteorder",
    "code/__torch__/other.py",
];
const FOLDERS: [&str; 5] = ["data/", "constants/", "traced_inputs/", "code/", "extra/"];

impl Name {
    fn write(&self) -> String {
        match self {
            Self::Known(index) => KNOWN[usize::from(*index) % KNOWN.len()].to_owned(),
            Self::In(folder, name) => format!("{}{name}", FOLDERS[usize::from(*folder) % FOLDERS.len()]),
            Self::Any(name) => name.clone(),
        }
    }
}

fuzz_target!(|upload: Upload| {
    let mut records = network();
    if usize::from(upload.without) < records.len() {
        records.remove(upload.without.into());
    }
    for (name, data) in &upload.added {
        let name = name.write();
        records.retain(|(existing, _)| *existing != name);
        records.push((name, data.clone()));
    }
    // A name has two bytes for its length.
    records.retain(|(name, _)| name.len() + upload.root.len() < 60_000);
    let entries: Vec<_> =
        records.iter().map(|(name, data)| (format!("{}/{name}", upload.root), data.as_slice())).collect();
    let mut file = zip(&entries);
    for &(place, byte) in &upload.changes {
        // Counted from the end, where the directory is.
        let place = file.len().checked_sub(1 + usize::from(place));
        if let Some(changed) = place.and_then(|place| file.get_mut(place)) {
            *changed = byte;
        }
    }
    let _ = preflight(&file);
});
