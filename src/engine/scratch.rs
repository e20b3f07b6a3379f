//! The folder of one task.

use std::io;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

/// A folder that is removed when it is dropped.
#[derive(Debug)]
pub struct Scratch {
    folder: TempDir,
}

impl Scratch {
    pub fn create(parent: &Path, name: &str) -> io::Result<Self> {
        std::fs::create_dir_all(parent)?;
        Ok(Self { folder: tempfile::Builder::new().prefix(name).tempdir_in(parent)? })
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }
}

/// The paths of the files that an engine says it wrote.
///
/// The engine ran a stranger's model, so a name must be a plain one and a file a regular file: a link could point to
/// anything that this program may read.
pub fn check_outputs(folder: &Path, names: &[String]) -> Result<Vec<(String, PathBuf)>, String> {
    let mut outputs = Vec::new();
    for name in names {
        let plain = !name.is_empty()
            && !name.starts_with('.')
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte));
        if !plain {
            return Err(format!("{name:?} is no name of an output"));
        }
        let path = folder.join(name);
        let kind = std::fs::symlink_metadata(&path).map_err(|error| format!("output {name}: {error}"))?;
        if !kind.is_file() {
            return Err(format!("output {name} is no regular file"));
        }
        outputs.push((name.clone(), path));
    }
    Ok(outputs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_out_of_the_folder_is_no_output() {
        let scratch = Scratch::create(&std::env::temp_dir(), "secateur-test-").unwrap();
        std::os::unix::fs::symlink("/etc/passwd", scratch.path().join("report.json")).unwrap();
        assert!(check_outputs(scratch.path(), &["report.json".to_owned()]).is_err());
        assert!(check_outputs(scratch.path(), &["../secret".to_owned()]).is_err());
    }
}
