//! Files that an engine says it wrote, made ours.
//!
//! The engine ran a stranger's model, so a name must be a plain one, and the file a regular one that the engine made itself and that
//! has no second name: a link, symbolic or hard, could lead to anything that this program may read. The folder says who the
//! engine was: where it was given to another user, it is sticky and its group is that user's.

use std::fs::{self, File, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;
use rustix::process::{getegid, geteuid};

const STICKY: u32 = 0o1000;

/// The paths of the outputs of an engine that has ended.
pub fn check_outputs(folder: &Path, names: &[String]) -> Result<Vec<(String, PathBuf)>, String> {
    let author = author_in(folder).map_err(|error| format!("the task's folder: {error}"))?;
    let mut outputs = Vec::new();
    for name in names {
        let path = path_of(folder, name)?;
        make_ours(&path, author).map_err(|error| format!("output {name}: {error}"))?;
        outputs.push((name.clone(), path));
    }
    Ok(outputs)
}

/// Takes an output away from an engine that still runs, into a folder where it cannot exchange it any more.
pub fn take_output(folder: &Path, name: &str, into: &Path) -> Result<PathBuf, String> {
    let (from, to) = (path_of(folder, name)?, path_of(into, name)?);
    let failed = |error: io::Error| format!("output {name}: {error}");
    let author = author_in(folder).map_err(failed)?;
    fs::rename(from, &to).map_err(failed)?;
    make_ours(&to, author).map_err(failed)?;
    Ok(to)
}

/// Removes an output that nobody wants, also of an engine that still runs.
pub fn forget_output(folder: &Path, name: &str) {
    if let Ok(path) = path_of(folder, name) {
        let _ = fs::remove_file(path);
    }
}

fn path_of(folder: &Path, name: &str) -> Result<PathBuf, String> {
    let plain = !name.is_empty()
        && !name.starts_with('.')
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte));
    if plain { Ok(folder.join(name)) } else { Err(format!("{name:?} is no name of an output")) }
}

/// The user that the outputs in a folder are of.
fn author_in(folder: &Path) -> io::Result<u32> {
    let found = fs::metadata(folder)?;
    Ok(if found.mode() & STICKY != 0 { found.gid() } else { geteuid().as_raw() })
}

/// Makes a file that `author` has written this program's own, so that no later engine can change it.
fn make_ours(path: &Path, author: u32) -> io::Result<()> {
    let refused = |what: &str| Err(io::Error::other(format!("it is {what}")));
    if !fs::symlink_metadata(path)?.is_file() {
        return refused("no regular file");
    }
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let file = File::options().read(true).custom_flags(flags.bits() as i32).open(path)?;
    let found = file.metadata()?;
    if !found.is_file() {
        return refused("no regular file");
    }
    if found.nlink() != 1 {
        return refused(&format!("a file of {} names", found.nlink()));
    }
    if found.uid() != author {
        return refused(&format!("of user {}, and the engine was user {author}", found.uid()));
    }
    // First the mode: a file of root's must not have one that its engine chose.
    file.set_permissions(Permissions::from_mode(0o644))?;
    if found.uid() != geteuid().as_raw() {
        fchown(&file, Some(geteuid().as_raw()), Some(getegid().as_raw()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{chown, symlink};

    use tempfile::TempDir;

    use super::*;

    fn folder_with(name: &str) -> TempDir {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(name), "output").unwrap();
        folder
    }

    fn why_refused(folder: &TempDir, name: &str) -> String {
        check_outputs(folder.path(), &[name.to_owned()]).expect_err("it is refused")
    }

    #[test]
    fn a_file_that_the_engine_made_is_an_output() {
        let folder = folder_with("report.json");
        let outputs = check_outputs(folder.path(), &["report.json".to_owned()]).unwrap();
        assert_eq!(outputs, [("report.json".to_owned(), folder.path().join("report.json"))]);
    }

    #[test]
    fn a_symbolic_link_is_no_output() {
        let folder = tempfile::tempdir().unwrap();
        symlink("/etc/passwd", folder.path().join("report.json")).unwrap();
        assert!(why_refused(&folder, "report.json").contains("no regular file"));
    }

    #[test]
    fn a_name_that_leads_elsewhere_is_no_output() {
        let folder = folder_with("report.json");
        for name in ["../secret", "/etc/passwd", ".hidden", "", "a b", "a\0b"] {
            assert!(why_refused(&folder, name).contains("is no name of an output"));
        }
    }

    #[test]
    fn a_hard_link_is_no_output() {
        let folder = folder_with("model.pt");
        fs::hard_link(folder.path().join("model.pt"), folder.path().join("report.json")).unwrap();
        assert!(why_refused(&folder, "report.json").contains("a file of 2 names"));
    }

    #[test]
    fn a_file_of_another_user_than_the_engines_is_no_output() {
        if !geteuid().is_root() {
            return;
        }
        let folder = folder_with("report.json");
        chown(folder.path(), None, Some(4711)).unwrap();
        fs::set_permissions(folder.path(), Permissions::from_mode(0o1770)).unwrap();
        assert!(why_refused(&folder, "report.json").contains("of user 0, and the engine was user 4711"));

        let path = folder.path().join("report.json");
        chown(&path, Some(4711), Some(4711)).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o4755)).unwrap();
        check_outputs(folder.path(), &["report.json".to_owned()]).unwrap();
        let ours = fs::metadata(path).unwrap();
        assert_eq!((ours.uid(), ours.gid(), ours.mode() & 0o7777), (0, 0, 0o644), "it is ours, with our mode");
    }

    #[test]
    fn an_output_that_was_taken_is_out_of_the_engines_reach() {
        let (folder, private) = (folder_with("checkpoint-1"), tempfile::tempdir().unwrap());
        let taken = take_output(folder.path(), "checkpoint-1", private.path()).unwrap();
        assert_eq!(taken, private.path().join("checkpoint-1"));
        assert!(!folder.path().join("checkpoint-1").exists());
        symlink("/etc/passwd", folder.path().join("checkpoint-2")).unwrap();
        assert!(take_output(folder.path(), "checkpoint-2", private.path()).is_err());
    }
}
