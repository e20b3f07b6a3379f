//! The disk of the data folder, with the scratch folder of the tasks in it.

use std::path::{Path, PathBuf};

use super::{Finding, Installation, human};

/// A model, its data and the networks of a job fit.
const COMFORTABLE: u64 = 10 << 30;
/// Blobs are files, and so is much of what the database and tasks write.
const LEAST_INODES: u64 = 10_000;

pub(super) fn examine(installation: &Installation) -> Vec<Finding> {
    let data = &installation.data_folder;
    let mut findings = vec![folder("data folder", data, installation.reserve_bytes)];
    let scratch = data.join("scratch");
    if device(&scratch).is_some() && device(&scratch) != device(data) {
        findings.push(folder("scratch folder", &scratch, installation.reserve_bytes));
    }
    findings
}

fn device(folder: &Path) -> Option<u64> {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata(folder).ok().map(|folder| folder.dev())
}

/// A folder that is not there yet is made where its nearest parent is.
fn folder(about: &'static str, folder: &Path, reserve: u64) -> Finding {
    let absolute = std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned());
    let there: Option<PathBuf> = absolute.ancestors().find(|folder| folder.is_dir()).map(Path::to_owned);
    let Some(there) = there else {
        return Finding::problem(
            about,
            format!("{} cannot be made", folder.display()),
            "Name another with --data-dir.",
        );
    };
    match rustix::fs::statvfs(&there) {
        Ok(disk) => judge(
            about,
            &absolute,
            Space {
                free: disk.f_bavail.saturating_mul(disk.f_frsize),
                // A file system that makes them as it needs them says 0 of 0.
                inodes: (disk.f_files > 0).then_some(disk.f_favail),
                reserve,
            },
        ),
        Err(error) => Finding::problem(about, format!("{}: {error}", there.display()), "Is the disk mounted?"),
    }
}

#[derive(Debug, Clone, Copy)]
struct Space {
    free: u64,
    inodes: Option<u64>,
    reserve: u64,
}

fn judge(about: &'static str, folder: &Path, space: Space) -> Finding {
    let Space { free, inodes, reserve } = space;
    let inodes_said = inodes.map(|inodes| format!(" and {inodes} inodes")).unwrap_or_default();
    let says = format!("{} has {} free{inodes_said}", folder.display(), human(free));
    if free < reserve {
        let hint = format!(
            "{} are kept in reserve (--reserve-bytes), so nothing is taken: delete jobs, models and data sets, or give it a larger disk.",
            human(reserve)
        );
        return Finding::problem(about, says, hint);
    }
    if inodes.is_some_and(|inodes| inodes < LEAST_INODES) {
        return Finding::problem(
            about,
            says,
            "Delete what has many small files, or make a file system with more inodes.",
        );
    }
    match free < COMFORTABLE {
        true => Finding::warning(
            about,
            says,
            "Give it a larger disk, or let jobs and uploads expire (--keep-jobs, --keep-uploads).",
        ),
        false => Finding::ok(about, says),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Verdict;
    use super::*;

    #[test]
    fn a_disk_is_judged_by_its_bytes_and_its_inodes() {
        let verdict =
            |free, inodes| judge("data folder", Path::new("/data"), Space { free, inodes, reserve: 1 << 28 }).verdict;
        assert_eq!(verdict(1 << 40, Some(1 << 20)), Verdict::Ok);
        assert_eq!(verdict(1 << 40, None), Verdict::Ok, "a file system without a table of inodes");
        assert_eq!(verdict(1 << 30, Some(1 << 20)), Verdict::Warning);
        assert_eq!(verdict(1 << 27, Some(1 << 20)), Verdict::Problem);
        assert_eq!(verdict(1 << 40, Some(3)), Verdict::Problem);
    }
}
