//! Copies of blobs from a remote store that stay on this machine between tasks: the tasks of a job read one data set, one after the
//! other and at once.
//!
//! They take a number of bytes; the one that was not used for the longest time goes first, and none goes that is lent.

use std::collections::HashMap;
use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

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
    /// Copies in a folder that is made when it is not there, closed to everybody else.
    pub(super) fn new(folder: &Path, most_bytes: u64) -> std::io::Result<Self> {
        DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        Ok(Self { folder: folder.to_owned(), most_bytes, clock: Arc::default(), copies: Arc::default() })
    }

    /// The copy of a blob, which `fetch` makes when there is none; who asks meanwhile waits for it. A disk that is full loses the copies that
    /// nobody has, and is tried once more.
    pub(super) async fn lend<F>(&self, key: &BlobKey, fetch: impl Fn(PathBuf) -> F) -> Result<LentCopy, BlobError>
    where
        F: Future<Output = Result<(), BlobError>>,
    {
        let time = self.clock.fetch_add(1, Ordering::Relaxed);
        let copy = {
            let mut copies = self.lock();
            let copy = copies.entry(key.clone()).or_insert_with(|| {
                let path = self.folder.join(time.to_string());
                Arc::new(Copy { path, bytes: OnceCell::new(), last_lent: AtomicU64::new(time) })
            });
            Arc::clone(copy)
        };
        copy.last_lent.store(time, Ordering::Relaxed);
        let lent = LentCopy { copies: self.clone(), copy: Some(copy) };
        let copy = lent.copy();
        let fetched = async {
            let unfinished = Unfinished(&copy.path);
            if let Err(error) = fetch(copy.path.clone()).await {
                if !matches!(error, BlobError::Full) {
                    return Err(error);
                }
                self.make_room(0);
                fetch(copy.path.clone()).await?;
            }
            let bytes = tokio::fs::metadata(&copy.path).await?.len();
            std::mem::forget(unfinished);
            Ok::<_, BlobError>(bytes)
        };
        copy.bytes.get_or_try_init(|| fetched).await?;
        self.make_room(self.most_bytes);
        Ok(lent)
    }

    /// Forgets the copies that were not lent for the longest time, until the others take no more bytes than these.
    fn make_room(&self, most_bytes: u64) {
        let mut copies = self.lock();
        // Those that could not be fetched are nothing to keep.
        copies.retain(|_, copy| copy.bytes.initialized() || Arc::strong_count(copy) > 1);
        let mut taken: u64 = copies.values().filter_map(|copy| copy.bytes.get()).sum();
        while taken > most_bytes {
            let idle = copies.iter().filter(|(_, copy)| Arc::strong_count(copy) == 1);
            let oldest = idle.min_by_key(|(_, copy)| copy.last_lent.load(Ordering::Relaxed));
            let Some(key) = oldest.map(|(key, _)| key.clone()) else { return };
            let copy = copies.remove(&key);
            taken -= copy.and_then(|copy| copy.bytes.get().copied()).unwrap_or_default();
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<BlobKey, Arc<Copy>>> {
        self.copies.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A copy that stays as long as this is kept.
#[derive(Debug)]
pub(super) struct LentCopy {
    copies: Copies,
    /// There until the drop.
    copy: Option<Arc<Copy>>,
}

impl LentCopy {
    fn copy(&self) -> &Copy {
        self.copy.as_deref().expect("it is given back when this is dropped")
    }

    pub(super) fn path(&self) -> &Path {
        &self.copy().path
    }
}

impl Drop for LentCopy {
    fn drop(&mut self) {
        self.copy = None;
        self.copies.make_room(self.copies.most_bytes);
    }
}

/// A file that goes unless it is forgotten, which is when it is whole.
struct Unfinished<'a>(&'a Path);

impl Drop for Unfinished<'_> {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(self.0);
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

    async fn lend(copies: &Copies, key: &BlobKey, bytes: usize, fetches: &AtomicU64) -> LentCopy {
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
    async fn what_could_not_be_fetched_leaves_nothing_and_is_fetched_again() {
        let folder = tempfile::tempdir().unwrap();
        let copies = Copies::new(folder.path(), 100).unwrap();
        let key = BlobKey::from_row("a".to_owned());
        let half = |path: PathBuf| async move {
            tokio::fs::write(path, b"half").await?;
            Err(BlobError::Other("the line is cut".to_owned()))
        };
        assert!(matches!(copies.lend(&key, half).await, Err(BlobError::Other(_))));
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
        let fetches = AtomicU64::new(0);
        assert!(lend(&copies, &key, 1, &fetches).await.path().exists());
    }

    #[tokio::test]
    async fn a_full_disk_loses_what_nobody_has_and_is_tried_again() {
        let folder = tempfile::tempdir().unwrap();
        let copies = Copies::new(folder.path(), 100).unwrap();
        let [idle, wanted] = ["a", "b"].map(|name| BlobKey::from_row(name.to_owned()));
        let fetches = AtomicU64::new(0);
        let kept = lend(&copies, &idle, 60, &fetches).await.path().to_owned();
        assert!(kept.exists(), "it fits");
        let fetch = |path: PathBuf| {
            let is_full = kept.exists();
            async move { if is_full { Err(BlobError::Full) } else { Ok(tokio::fs::write(path, b"b").await?) } }
        };
        assert!(copies.lend(&wanted, fetch).await.unwrap().path().exists());
        assert!(!kept.exists());
    }

    #[tokio::test]
    async fn what_is_too_much_goes_when_it_is_given_back() {
        let folder = tempfile::tempdir().unwrap();
        let copies = Copies::new(folder.path(), 100).unwrap();
        let fetches = AtomicU64::new(0);
        let large = lend(&copies, &BlobKey::from_row("a".to_owned()), 200, &fetches).await;
        let path = large.path().to_owned();
        assert!(path.exists());
        drop(large);
        assert!(!path.exists());
    }
}
