//! Blobs: bytes by key, in a local folder or in S3, behind one interface.
//!
//! A key says where a blob comes from; its bytes never change. A blob counts only when a row of the database refers to
//! it, so a half-finished upload or the output of a stale attempt is litter, never state. In a local folder a file is
//! synced and moved into place; S3 gets a multipart upload. Neither shows a half-written object.

mod copies;
mod disk;
mod key;
mod staging;
mod verify;

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::stream::{BoxStream, StreamExt, TryStreamExt};
use object_store::aws::{AmazonS3, AmazonS3Builder};
use object_store::local::LocalFileSystem;
use object_store::prefix::PrefixStore;
use object_store::signer::{Method, SignedUrlOptions, Signer};
use object_store::{GetOptions, GetRange, ObjectStore, ObjectStoreExt, WriteMultipart};
use time::OffsetDateTime;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::digest::{Hasher, Sha256};
use copies::{Copies, LentCopy};
pub use disk::{Disk, DiskSpace};
pub use key::BlobKey;
pub use staging::{Staged, Staging, StagingError};

/// Piece size of a multipart upload; S3 wants at least 5 MiB.
const PIECE: usize = 8 << 20;
/// Pieces of one upload that are under way at once.
const PIECES_UNDER_WAY: usize = 2;

#[derive(Debug, thiserror::Error)]
pub enum BlobError {
    #[error("blob {0} is not there")]
    NotFound(String),
    #[error("blob {key} is damaged: its SHA-256 is {found}, and {expected} was recorded")]
    Damaged { key: String, expected: Sha256, found: Sha256 },
    #[error("no space left for blobs")]
    Full,
    #[error("blob store: {0}")]
    Other(String),
}

impl From<object_store::Error> for BlobError {
    fn from(error: object_store::Error) -> Self {
        match &error {
            object_store::Error::NotFound { path, .. } => Self::NotFound(path.clone()),
            _ if is_full(&error) => Self::Full,
            _ => Self::Other(error.to_string()),
        }
    }
}

impl From<std::io::Error> for BlobError {
    fn from(error: std::io::Error) -> Self {
        if is_full(&error) { Self::Full } else { Self::Other(error.to_string()) }
    }
}

/// Whether "no space" is somewhere in the chain of causes.
pub fn is_full(error: &(dyn std::error::Error + 'static)) -> bool {
    use std::io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
    let mut cause = Some(error);
    while let Some(error) = cause {
        let io = error.downcast_ref::<std::io::Error>();
        if io.is_some_and(|io| matches!(io.kind(), StorageFull | QuotaExceeded | FileTooLarge)) {
            return true;
        }
        cause = error.source();
    }
    false
}

/// Where blobs are kept; clones share it.
#[derive(Debug, Clone)]
pub struct BlobStore {
    store: Arc<dyn ObjectStore>,
    /// The same store as a folder, so that files can be moved in instead of copied.
    folder: Option<Arc<LocalFileSystem>>,
    /// The same store as a bucket, which gives out URLs of its own.
    bucket: Option<Arc<Bucket>>,
    /// Of the folder, when a reserve is to be kept free on it.
    disk: Option<Disk>,
    /// Of blobs that are elsewhere.
    copies: Option<Copies>,
}

#[derive(Debug)]
struct Bucket {
    store: AmazonS3,
    prefix: object_store::path::Path,
}

/// A blob of the store.
#[derive(Debug, Clone)]
pub struct StoredBlob {
    pub key: BlobKey,
    pub changed_at: OffsetDateTime,
}

/// A blob as a file of this machine that nobody may change; it stays as long as this is kept.
#[derive(Debug)]
pub struct Loan {
    path: PathBuf,
    _copy: Option<LentCopy>,
}

impl Loan {
    /// Where it is, from the root.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl BlobStore {
    /// A folder of this machine, made when it is not there.
    pub fn local(folder: &Path) -> Result<Self, BlobError> {
        std::fs::create_dir_all(folder)?;
        let local = Arc::new(LocalFileSystem::new_with_prefix(folder)?.with_fsync(true));
        Ok(Self { store: local.clone(), folder: Some(local), bucket: None, disk: None, copies: None })
    }

    /// Takes nothing in that would leave less than the disk's reserve.
    #[must_use]
    pub fn with_reserve(mut self, disk: Disk) -> Self {
        self.disk = Some(disk);
        self
    }

    /// Keeps copies of blobs that are elsewhere in a folder of this machine, for [`Self::lend`].
    pub fn with_copies(mut self, folder: &Path, most_bytes: u64) -> Result<Self, BlobError> {
        if self.folder.is_none() {
            self.copies = Some(Copies::new(folder, most_bytes)?);
        }
        Ok(self)
    }

    /// `s3://bucket/prefix`; endpoint, region and credentials come from the usual `AWS_…` variables.
    pub fn s3(url: &str) -> Result<Self, BlobError> {
        let bucket = AmazonS3Builder::from_env().with_url(url).build()?;
        let prefix = url.splitn(4, '/').nth(3).unwrap_or_default().trim_matches('/');
        let store: Arc<dyn ObjectStore> = match prefix {
            "" => Arc::new(bucket.clone()),
            prefix => Arc::new(PrefixStore::new(bucket.clone(), prefix)),
        };
        let bucket = Some(Arc::new(Bucket { store: bucket, prefix: prefix.into() }));
        Ok(Self { store, folder: None, bucket, disk: None, copies: None })
    }

    /// Whether something can be put here: a folder keeps its reserve free, and of a bucket that is not known.
    pub fn has_room(&self) -> std::io::Result<bool> {
        self.disk.as_ref().map_or(Ok(true), |disk| disk.has_room_for(0))
    }

    /// A URL under which anyone who has it may read a blob for a while, from the bucket itself and as a file of this name; `None` of a folder.
    pub async fn presign_get(&self, key: &BlobKey, name: &str, valid: Duration) -> Result<Option<String>, BlobError> {
        let disposition = format!("attachment; filename=\"{name}\"");
        let options = SignedUrlOptions::default().with_query([("response-content-disposition", disposition)]);
        self.presign(Method::GET, key, valid, &options).await
    }

    /// A URL under which anyone who has it may put a blob for a while, into the bucket itself; `None` of a folder.
    pub async fn presign_put(&self, key: &BlobKey, valid: Duration) -> Result<Option<String>, BlobError> {
        self.presign(Method::PUT, key, valid, &SignedUrlOptions::default()).await
    }

    async fn presign(
        &self,
        method: Method,
        key: &BlobKey,
        valid: Duration,
        options: &SignedUrlOptions,
    ) -> Result<Option<String>, BlobError> {
        let Some(bucket) = &self.bucket else { return Ok(None) };
        let path: object_store::path::Path = bucket.prefix.parts().chain(key.to_path().parts()).collect();
        Ok(Some(bucket.store.signed_url_opts(method, &path, valid, options).await?.into()))
    }

    /// Puts bytes under a key; putting the same twice is fine.
    pub async fn put(&self, key: &BlobKey, bytes: Bytes) -> Result<(), BlobError> {
        if let Some(disk) = &self.disk
            && !disk.has_room_for(bytes.len() as u64)?
        {
            return Err(BlobError::Full);
        }
        self.store.put(&key.to_path(), bytes.into()).await?;
        Ok(())
    }

    /// Puts a file under a key and removes it; putting the same twice is fine.
    pub async fn put_file(&self, key: &BlobKey, path: &Path) -> Result<(), BlobError> {
        // The file is on the same disk already, as a rule, so that the question is whether it may stay.
        if let Some(disk) = &self.disk
            && !disk.has_room_for(0)?
        {
            return Err(BlobError::Full);
        }
        if let Some(folder) = &self.folder {
            let (from, to) = (path.to_owned(), folder.path_to_filesystem(&key.to_path())?);
            let moved = blocking(move || move_into_place(&from, &to)).await;
            match moved {
                Err(error) if error.kind() == std::io::ErrorKind::CrossesDevices => {}
                end => return Ok(end?),
            }
        }
        self.upload(key, path).await?;
        tokio::fs::remove_file(path).await?;
        Ok(())
    }

    async fn upload(&self, key: &BlobKey, path: &Path) -> Result<(), BlobError> {
        let mut file = tokio::fs::File::open(path).await?;
        let mut upload = WriteMultipart::new_with_chunk_size(self.store.put_multipart(&key.to_path()).await?, PIECE);
        let sent = async {
            let mut buffer = vec![0; 1 << 20];
            loop {
                let read = file.read(&mut buffer).await?;
                if read == 0 {
                    return Ok::<_, BlobError>(());
                }
                upload.wait_for_capacity(PIECES_UNDER_WAY).await?;
                upload.write(&buffer[..read]);
            }
        }
        .await;
        match sent {
            Ok(()) => {
                upload.finish().await?;
                Ok(())
            }
            Err(error) => {
                upload.abort().await?;
                Err(error)
            }
        }
    }

    /// The bytes of a blob, or a range of them.
    pub async fn read(
        &self,
        key: &BlobKey,
        range: Option<Range<u64>>,
    ) -> Result<BoxStream<'static, Result<Bytes, BlobError>>, BlobError> {
        let options = GetOptions { range: range.map(GetRange::Bounded), ..GetOptions::default() };
        let found = self.store.get_opts(&key.to_path(), options).await?;
        Ok(found.into_stream().map_err(BlobError::from).boxed())
    }

    /// The bytes of a whole blob with the digest that was recorded: when they are others, the last piece does not come but an error.
    pub async fn read_verified(
        &self,
        key: &BlobKey,
        sha256: Sha256,
    ) -> Result<BoxStream<'static, Result<Bytes, BlobError>>, BlobError> {
        Ok(verify::verified(key.clone(), self.read(key, None).await?, sha256))
    }

    /// Copies a blob to a file, which is compared with the digest that was recorded, where there is one.
    pub async fn fetch(&self, key: &BlobKey, sha256: Option<Sha256>, path: &Path) -> Result<(), BlobError> {
        if let Some(folder) = &self.folder {
            let (from, to) = (folder.path_to_filesystem(&key.to_path())?, path.to_owned());
            let copied = blocking(move || std::fs::copy(from, to)).await;
            match copied {
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                    return Err(BlobError::NotFound(key.to_string()));
                }
                Err(error) => return Err(error.into()),
                Ok(_) => {}
            }
            let Some(expected) = sha256 else { return Ok(()) };
            let (found, _) = Sha256::of_file_aside(path).await?;
            return verify::compare(key, found, expected);
        }
        let mut file = tokio::fs::File::create(path).await?;
        let mut pieces = self.read(key, None).await?;
        let mut hasher = Hasher::default();
        while let Some(piece) = pieces.try_next().await? {
            hasher.update(&piece);
            file.write_all(&piece).await?;
        }
        file.flush().await?;
        match sha256 {
            Some(expected) => verify::compare(key, hasher.finish(), expected),
            None => Ok(()),
        }
    }

    /// A blob as a file to read, without a copy of its own for each reader; `None` from a remote store that keeps no copies here. A copy is
    /// compared with the digest that was recorded when it is made; what a folder of this machine has is taken as it is.
    pub async fn lend(&self, key: &BlobKey, sha256: Option<Sha256>) -> Result<Option<Loan>, BlobError> {
        if let Some(folder) = &self.folder {
            let path = folder.path_to_filesystem(&key.to_path())?;
            return match blocking(move || path.canonicalize()).await {
                Ok(path) => Ok(Some(Loan { path, _copy: None })),
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => Err(BlobError::NotFound(key.to_string())),
                Err(error) => Err(error.into()),
            };
        }
        let Some(copies) = &self.copies else { return Ok(None) };
        let copy = copies.lend(key, |path| async move { self.fetch(key, sha256, &path).await }).await?;
        let path = std::path::absolute(copy.path())?;
        Ok(Some(Loan { path, _copy: Some(copy) }))
    }

    /// Puts a blob that may be as large as the disk where a task reads it: a link to what is lent, or a copy where nothing is.
    pub async fn place(&self, key: &BlobKey, sha256: Option<Sha256>, path: &Path) -> Result<Option<Loan>, BlobError> {
        let lent = self.lend(key, sha256).await?;
        match &lent {
            Some(loan) => tokio::fs::symlink(loan.path(), path).await?,
            None => self.fetch(key, sha256, path).await?,
        }
        Ok(lent)
    }

    /// Frees blobs; one that is gone already is fine. A key with `/` at its end stands for everything below it.
    pub async fn delete(&self, keys: &[BlobKey]) -> Result<(), BlobError> {
        for key in keys {
            if key.is_folder() {
                let below = self.store.list(Some(&key.to_path())).map_ok(|found| found.location).boxed();
                self.store.delete_stream(below).try_collect::<Vec<_>>().await?;
                continue;
            }
            match self.store.delete(&key.to_path()).await {
                Ok(()) | Err(object_store::Error::NotFound { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Everything that is stored, in no order.
    pub fn list(&self) -> BoxStream<'static, Result<StoredBlob, BlobError>> {
        let stored = self.store.list(None).map_err(BlobError::from);
        stored
            .map_ok(|found| StoredBlob {
                key: BlobKey::from_row(found.location.to_string()),
                changed_at: OffsetDateTime::from(std::time::SystemTime::from(found.last_modified)),
            })
            .boxed()
    }

    /// Whether a blob is stored.
    pub async fn has(&self, key: &BlobKey) -> Result<bool, BlobError> {
        Ok(self.size(key).await?.is_some())
    }

    /// Bytes of a blob; `None` when it is not stored.
    pub async fn size(&self, key: &BlobKey) -> Result<Option<u64>, BlobError> {
        match self.store.head(&key.to_path()).await {
            Ok(found) => Ok(Some(found.size)),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Writes, reads and deletes a small blob.
    pub async fn check_round_trip(&self) -> Result<(), BlobError> {
        let key = BlobKey::probe();
        self.store.put(&key.to_path(), Bytes::from_static(b"secateur").into()).await?;
        let read = self.read(&key, None).await?.try_collect::<Vec<Bytes>>().await;
        self.delete(&[key]).await?;
        match read?.concat() == b"secateur" {
            true => Ok(()),
            false => Err(BlobError::Other("what was written reads back as something else".to_owned())),
        }
    }

    /// Writes and deletes a small blob.
    pub async fn check_writable(&self) -> Result<(), BlobError> {
        let key = BlobKey::probe();
        self.store.put(&key.to_path(), Bytes::from_static(b"secateur").into()).await?;
        self.delete(&[key]).await
    }
}

/// Syncs a file, moves it and syncs the folder, so that it is there after a power cut.
fn move_into_place(from: &Path, to: &Path) -> std::io::Result<()> {
    std::fs::File::open(from)?.sync_all()?;
    let folder: PathBuf = to.parent().expect("a key has a folder").to_owned();
    std::fs::create_dir_all(&folder)?;
    std::fs::rename(from, to)?;
    std::fs::File::open(folder)?.sync_all()
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(work).await.expect("file operations do not panic")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_file_that_was_put_reads_back_whole_and_in_part() {
        let folder = tempfile::tempdir().unwrap();
        let store = BlobStore::local(&folder.path().join("blobs")).unwrap();
        let file = folder.path().join("file");
        std::fs::write(&file, b"0123456789").unwrap();
        let key = BlobKey::model(&crate::access::Tenant::of_nobody(), crate::id::ModelId::generate());
        store.put_file(&key, &file).await.unwrap();
        assert!(!file.exists());

        let part: Vec<Bytes> = store.read(&key, Some(3..6)).await.unwrap().try_collect().await.unwrap();
        assert_eq!(part.concat(), b"345");
        let copy = folder.path().join("copy");
        store.fetch(&key, Some(Sha256::of(b"0123456789")), &copy).await.unwrap();
        assert_eq!(std::fs::read(&copy).unwrap(), b"0123456789");
        let damaged = store.fetch(&key, Some(Sha256::of(b"something else")), &copy).await;
        assert!(matches!(damaged, Err(BlobError::Damaged { .. })), "{damaged:?}");

        store.delete(std::slice::from_ref(&key)).await.unwrap();
        assert!(matches!(store.read(&key, None).await, Err(BlobError::NotFound(_))));
    }

    #[tokio::test]
    async fn a_store_takes_nothing_of_its_reserve() {
        let folder = tempfile::tempdir().unwrap();
        let store = BlobStore::local(&folder.path().join("blobs")).unwrap();
        let store = store.with_reserve(Disk::new(folder.path(), u64::MAX));
        let file = folder.path().join("file");
        std::fs::write(&file, b"x").unwrap();
        let key = BlobKey::everything_of(crate::id::JobId::generate());
        assert!(matches!(store.put_file(&key, &file).await, Err(BlobError::Full)));
        assert!(file.exists());
    }

    #[test]
    fn no_space_is_recognised_through_wrappers() {
        let full = std::io::Error::from(std::io::ErrorKind::StorageFull);
        let wrapped = object_store::Error::Generic { store: "local", source: Box::new(full) };
        assert!(matches!(BlobError::from(wrapped), BlobError::Full));
    }
}
