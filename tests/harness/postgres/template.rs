//! A migrated cluster, made once and copied for every test: `initdb` takes seconds, a copy does not.

use std::fs::File;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use secateur::digest::Sha256;
use secateur::server::{DataFolder, connect};

use crate::harness::make_passable;

/// Gives a data folder its cluster. It is a real server's own, so the server takes it for what an earlier run left.
pub(crate) async fn copy_to(data: &Path) {
    let template = template().await;
    std::fs::create_dir_all(data.join("postgres")).unwrap();
    copy(&template, &data.join("postgres/cluster"));
}

async fn template() -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    std::fs::create_dir_all(folder).unwrap();
    let template = folder.join(format!("cluster-{}", &digest_of_migrations()[..16]));
    // Tests are threads with one runner and processes with another.
    let lock = File::options().create(true).append(true).open(folder.join("cluster.lock")).unwrap();
    let _locked = tokio::task::spawn_blocking(move || lock.lock().map(|()| lock)).await.unwrap().unwrap();
    if !is_postgres_own(&template) {
        let _ = std::fs::remove_dir_all(&template);
        make(&template).await;
    }
    template
}

async fn make(template: &Path) {
    let scratch = tempfile::Builder::new().prefix("secateur-template-").tempdir().unwrap();
    make_passable(scratch.path());
    let data = DataFolder::open(&scratch.path().join("data")).unwrap();
    let backend = connect(&data, None, 0, Duration::from_secs(30)).await.unwrap();
    backend.database.close().await;
    backend.postgres.expect("it is a private one").stop().await;
    let partial = template.with_extension("partial");
    let _ = std::fs::remove_dir_all(&partial);
    copy(&data.path().join("postgres/cluster"), &partial);
    std::fs::rename(partial, template).unwrap();
}

/// Whether it is there, and still owned by the user that PostgreSQL runs as, which is never root: a build folder that was copied
/// may have lost its owners.
fn is_postgres_own(template: &Path) -> bool {
    std::fs::metadata(template).is_ok_and(|folder| folder.uid() != 0)
}

/// With owner and modes, which std does not copy.
fn copy(from: &Path, to: &Path) {
    let copied = Command::new("cp").arg("-a").arg(from).arg(to).status().unwrap();
    assert!(copied.success(), "cp -a {} {}", from.display(), to.display());
}

pub(super) fn digest_of_migrations() -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations");
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let text: Vec<u8> = files.iter().flat_map(|file| std::fs::read(file).unwrap()).collect();
    Sha256::of(&text).to_string()
}
