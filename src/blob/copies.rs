//! Copies of blobs from a remote store that stay on this machine between tasks: the tasks of a job read one data set, one after the
//! other and at once.
//!
//! They take a number of bytes; the one that was not used for the longest time goes first, and none goes that is lent.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::OnceCell;

use super::{BlobError, BlobKey};

/// The copies; clones share them.
#[derive(Debug, Clone)]
pub(super) struct Copies {
    folder: PathBuf,
    most_bytes: u64,
    /// Counts the loans, to tell which one was earlier.
    clock: Arc<AtomicU64>,
    copies: Arc<Mutex<HashMap<BlobKey, Arc<Copy>>>>,
}

/// One blob's; the file is removed with it.
#[derive(Debug)]
pub(super) struct Copy {
    path: PathBuf,
    /// Known when the file is whole.
    bytes: OnceCell<u64>,
    last_lent: AtomicU64,
}

impl Copies {
    /// Copies in a folder that is made when it is not there.
    pub(super) fn new(folder: &Path, most_bytes: u64) -> std::io::Result<Self> {
        std::fs::create_dir_all(folder)?;
        Ok(Self { folder: folder.to_owned(), most_bytes, clock: Arc::default(), copies: Arc::default() })
    }

    /// The copy of a blob, which `fetch` makes when there is none; who asks meanwhile waits for it.
    pub(super) async fn lend<F>(&self, key: &BlobKey, fetch: impl FnOnce(PathBuf) -> F) -> Result<Arc<Copy>, BlobError>
    where
        F: Future<Output = Result<(), BlobError>>,
    {
        let time = self.clock.fetch_add(1, Ordering::Relaxed);
        let copy = {
            let mut copies = self.copies.lock().unwrap_or_else(PoisonError::into_inner);
            let copy = copies.entry(key.clone()).or_insert_with(|| {
                let path = self.folder.join(time.to_string());
                Arc::new(Copy { path, bytes: OnceCell::new(), last_lent: AtomicU64::new(time) })
            });
            Arc::clone(copy)
        };
        copy.last_lent.store(time, Ordering::Relaxed);
        let fetched = async {
            fetch(copy.path.clone()).await?;
            Ok::<_, BlobError>(tokio::fs::metadata(&copy.path).await?.len())
        };
        copy.bytes.get_or_try_init(|| fetched).await?;
        self.make_room();
        Ok(copy)
    }

    /// Forgets the copies that were not lent for the longest time, until the others take no more bytes than they may.
    fn make_room(&self) {
        let mut copies = self.copies.lock().unwrap_or_else(PoisonError::into_inner);
        let mut taken: u64 = copies.values().filter_map(|copy| copy.bytes.get()).sum();
        while taken > self.most_bytes {
            let idle = copies.iter().filter(|(_, copy)| Arc::strong_count(copy) == 1);
            let oldest = idle.min_by_key(|(_, copy)| copy.last_lent.load(Ordering::Relaxed));
            let Some(key) = oldest.map(|(key, _)| key.clone()) else { return };
            let copy = copies.remove(&key);
            taken -= copy.and_then(|copy| copy.bytes.get().copied()).unwrap_or_default();
        }
    }
}

impl Copy {
    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Copy {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn lend(copies: &Copies, key: &BlobKey, bytes: usize, fetches: &AtomicU64) -> Arc<Copy> {
        let copy = copies.lend(key, |path| async move {
            fetches.fetch_add(1, Ordering::Relaxed);
            tokio::fs::write(path, vec![0; bytes]).await?;
            Ok(())
        });
        copy.await.unwrap()
    }

    #[tokio::test]
    async fn a_blob_is_fetched_once_and_the_one_that_was_idle_longest_goes_first() {
        let folder = tempfile::tempdir().unwrap();
        let copies = Copies::new(&folder.path().join("copies"), 100).unwrap();
        let keys = ["a", "b", "c"].map(|name| BlobKey::from_row(name.to_owned()));
        let fetches = AtomicU64::new(0);
        let (first, again) = tokio::join!(lend(&copies, &keys[0], 60, &fetches), lend(&copies, &keys[0], 60, &fetches));
        assert_eq!((first.path(), fetches.load(Ordering::Relaxed)), (again.path(), 1));

        // Lent, so they stay although they take too much together.
        let second = lend(&copies, &keys[1], 60, &fetches).await;
        assert!(first.path().exists() && second.path().exists());
        let kept = first.path().to_owned();
        drop((first, again));
        let third = lend(&copies, &keys[2], 30, &fetches).await;
        assert!(!kept.exists(), "nobody has it any more");
        assert!(second.path().exists() && third.path().exists());
        assert_eq!(fetches.load(Ordering::Relaxed), 3);
    }

    #[tokio::test]
    async fn what_could_not_be_fetched_is_fetched_again() {
        let folder = tempfile::tempdir().unwrap();
        let copies = Copies::new(folder.path(), 100).unwrap();
        let key = BlobKey::from_row("a".to_owned());
        let lost = copies.lend(&key, |_| async { Err(BlobError::Full) }).await;
        assert!(matches!(lost, Err(BlobError::Full)));
        let fetches = AtomicU64::new(0);
        assert!(lend(&copies, &key, 1, &fetches).await.path().exists());
    }
}
