//! Files outside of a task's folder that tell whether an attack reached them.
//!
//! Everybody may read and write them, so that it is not their mode that holds.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// What a network must not learn: sixteen bytes that nothing else writes.
const SECRET: &[u8; 16] = b"Wq7#zK!9vR~2^xJ0";
const UNTOUCHED: &[u8; 16] = b"----untouched---";
/// So many bytes of the secret in a row are not chance.
const TELLING: usize = 4;

/// What an attack has left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trace {
    Made,
    Overwritten,
    Read,
}

pub(crate) struct Canaries {
    folder: PathBuf,
}

impl Canaries {
    pub(crate) fn in_folder(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// Puts the canaries where the attack looks for them.
    pub(crate) fn set_out(&self) {
        let _ = std::fs::remove_dir_all(&self.folder);
        std::fs::create_dir_all(&self.folder).unwrap();
        open_to_everybody(&self.folder, 0o777);
        for (name, content) in [("existing", UNTOUCHED), ("secret", SECRET)] {
            let path = self.folder.join(name);
            std::fs::write(&path, content).unwrap();
            open_to_everybody(&path, 0o666);
        }
    }

    /// What has become of them; `said` is all that came out of the task.
    pub(crate) fn traces(&self, said: &[Vec<u8>]) -> Vec<Trace> {
        let mut traces = Vec::new();
        let names = std::fs::read_dir(&self.folder).unwrap().map(|entry| entry.unwrap().file_name());
        if names.filter(|name| name != "existing" && name != "secret").count() > 0 {
            traces.push(Trace::Made);
        }
        if std::fs::read(self.folder.join("existing")).unwrap() != UNTOUCHED {
            traces.push(Trace::Overwritten);
        }
        if said.iter().any(|text| tells(text)) {
            traces.push(Trace::Read);
        }
        traces
    }
}

fn open_to_everybody(path: &Path, mode: u32) {
    std::fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

/// Whether the text holds a part of the secret: as it is, or as the decimal numbers of its bytes.
fn tells(text: &[u8]) -> bool {
    let as_bytes = SECRET.windows(TELLING).any(|part| text.windows(TELLING).any(|window| window == part));
    as_bytes || {
        let numbers: Vec<&[u8]> =
            text.split(|byte| !byte.is_ascii_digit() && *byte != b'.').filter(|word| !word.is_empty()).collect();
        let part: Vec<String> = SECRET[..TELLING].iter().map(u8::to_string).collect();
        let is_part = |window: &[&[u8]]| {
            window
                .iter()
                .zip(&part)
                .all(|(number, byte)| number.split(|byte| *byte == b'.').next() == Some(byte.as_bytes()))
        };
        numbers.windows(TELLING).any(is_part)
    }
}

#[test]
fn the_secret_is_found_in_every_form_that_it_comes_out_in() {
    assert!(tells(b"error: Wq7#zK!9vR~2^xJ0"));
    assert!(tells(b"a constant \x00K!9vR"));
    assert!(tells(b"{\"shifts\": [87, 113, 55, 35]}"));
    assert!(tells(b" 87\n 113\n  55\n  35\n[ CPUByteType{16} ]"));
    assert!(!tells(b"87 and 113 and 5535"));
}
