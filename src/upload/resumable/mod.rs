//! Resumable uploads: files that come in pieces, over as many connections as it takes.
//!
//! The bytes that have come and a record of what they will be lie in a folder of this server. They outlive it, so a client goes on after a
//! broken connection and after a restart, at the byte that was synced last. Whoever runs several servers has to send one client to one
//! server. A file that is whole is accepted like any other upload ([`super::Uploads`]); its record then says what it became for as
//! long as it is kept. Nobody is told of the uploads of another tenant.

mod checksum;
mod record;

use std::collections::HashSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use futures::{Stream, StreamExt};
use tempfile::TempPath;
use tokio::fs::{File, OpenOptions};
use tokio::io::AsyncWriteExt;

use crate::access::Tenant;
use crate::blob::{Disk, Staged, StagingError, is_full};
use crate::digest::Sha256;
use crate::id::UploadId;

use checksum::Check;
pub use checksum::Checksum;
pub use record::{End, Kind, Record};

/// What nobody has added to for so long goes.
pub const LIFETIME: Duration = Duration::from_hours(24);

/// Uploads of one tenant that are not whole.
pub const MOST_OPEN: usize = 64;

/// The disk is looked at again whenever so much more has come.
const BETWEEN_LOOKS: u64 = 8 << 20;

/// The uploads of this server; clones share them.
#[derive(Debug, Clone)]
pub struct Resumable {
    folder: PathBuf,
    max_bytes: u64,
    disk: Disk,
    /// Uploads that a request writes to.
    busy: Arc<Mutex<HashSet<UploadId>>>,
}

/// Why a piece was not added.
#[derive(Debug, thiserror::Error)]
pub enum AppendError<E> {
    /// The upload is longer than was announced.
    #[error("more has come than the {length} bytes that were announced")]
    TooLong { length: u64 },
    /// The piece does not have the digest that came with it, and was dropped.
    #[error("the piece does not have the digest that came with it")]
    Checksum,
    #[error(transparent)]
    Staging(#[from] StagingError<E>),
}

/// The right to write to an upload; nobody else has it until this is dropped.
#[derive(Debug)]
pub struct Writing {
    id: UploadId,
    busy: Arc<Mutex<HashSet<UploadId>>>,
}

impl Drop for Writing {
    fn drop(&mut self) {
        self.busy.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.id);
    }
}

impl Resumable {
    /// The uploads in a folder, which is there.
    pub fn open(folder: &Path, max_bytes: u64, reserve_bytes: u64) -> Self {
        let disk = Disk::new(folder, reserve_bytes);
        Self { folder: folder.to_owned(), max_bytes, disk, busy: Arc::default() }
    }

    pub fn max_bytes(&self) -> u64 {
        self.max_bytes
    }

    /// Begins an upload of which nothing has come.
    pub async fn create(&self, record: &Record) -> Result<(), StagingError<io::Error>> {
        if record.length > self.max_bytes {
            return Err(StagingError::TooLarge { max_bytes: self.max_bytes });
        }
        if !self.disk.has_room_for(record.length).map_err(from_io)? {
            return Err(StagingError::Full);
        }
        File::create_new(self.bytes_of(record.id)).await.map_err(from_io)?;
        self.write(record).await.map_err(from_io)
    }

    /// An upload of this tenant with the bytes that have come.
    pub async fn find(&self, id: UploadId, tenant: &Tenant) -> io::Result<Option<(Record, u64)>> {
        let Some(record) = read(&self.record_of(id)).await? else { return Ok(None) };
        if record.tenant != *tenant {
            return Ok(None);
        }
        let received = match record.end {
            Some(_) => record.length,
            None => length_of(&self.bytes_of(id)).await?,
        };
        Ok(Some((record, received)))
    }

    /// How many uploads of a tenant are not whole.
    pub async fn count_open(&self, tenant: &Tenant) -> io::Result<usize> {
        let records = self.records().await?;
        Ok(records.iter().filter(|record| record.tenant == *tenant && record.end.is_none()).count())
    }

    /// The right to write to an upload; `None` while another request has it.
    pub fn write_to(&self, id: UploadId) -> Option<Writing> {
        let is_free = self.busy.lock().unwrap_or_else(PoisonError::into_inner).insert(id);
        is_free.then(|| Writing { id, busy: self.busy.clone() })
    }

    /// Adds a piece behind the bytes that have come, and returns how many there are then. What came of a piece that breaks off stays, unless it
    /// has a digest, without which nobody knows whether it is right.
    pub async fn append<E>(
        &self,
        writing: &Writing,
        record: &Record,
        checksum: Option<Checksum>,
        mut piece: impl Stream<Item = Result<Bytes, E>> + Unpin,
    ) -> Result<u64, AppendError<E>> {
        let path = self.bytes_of(writing.id);
        let before = length_of(&path).await.map_err(from_io)?;
        let mut file = OpenOptions::new().append(true).open(&path).await.map_err(from_io)?;
        let mut check = checksum.map(Checksum::start);
        let (mut received, mut next_look) = (before, before);
        let ended = loop {
            let Some(bytes) = piece.next().await else { break Ok(()) };
            let bytes = match bytes {
                Ok(bytes) => bytes,
                Err(error) => break Err(AppendError::from(StagingError::Broken(error))),
            };
            received += bytes.len() as u64;
            if received > record.length {
                break Err(AppendError::TooLong { length: record.length });
            }
            if received >= next_look {
                match self.disk.has_room_for(0) {
                    Ok(true) => next_look = received + BETWEEN_LOOKS,
                    Ok(false) => break Err(AppendError::from(StagingError::Full)),
                    Err(error) => break Err(AppendError::from(from_io(error))),
                }
            }
            if let Some(check) = &mut check {
                check.update(&bytes);
            }
            if let Err(error) = file.write_all(&bytes).await {
                break Err(AppendError::from(from_io(error)));
            }
        };
        let holds = check.is_none_or(Check::holds);
        let ended = ended.and_then(|()| if holds { Ok(()) } else { Err(AppendError::Checksum) });
        let keeps_the_rest =
            matches!(&ended, Ok(()) | Err(AppendError::Staging(_))) && (ended.is_ok() || checksum.is_none());
        if !keeps_the_rest {
            file.set_len(before).await.map_err(from_io)?;
        }
        // Whoever is told that bytes have come does not send them again.
        file.flush().await.map_err(from_io)?;
        file.sync_data().await.map_err(from_io)?;
        ended.map(|()| received)
    }

    /// The bytes of an upload that is whole, as one that has just arrived. The upload keeps them until [`Self::end`].
    pub async fn stage(&self, id: UploadId) -> io::Result<Staged> {
        let (bytes, staged) = (self.bytes_of(id), self.folder.join(format!("{id}.staged")));
        match tokio::fs::remove_file(&staged).await {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => tokio::fs::hard_link(&bytes, &staged).await?,
        }
        let path = TempPath::try_from_path(staged)?;
        let (sha256, bytes) = Sha256::of_file_aside(&path).await?;
        Ok(Staged { path, sha256, bytes })
    }

    /// Writes down what an upload became; its bytes go.
    pub async fn end(&self, record: Record, end: End) -> io::Result<()> {
        let id = record.id;
        self.write(&Record { end: Some(end), ..record }).await?;
        remove(&self.bytes_of(id)).await
    }

    /// Forgets an upload.
    pub async fn delete(&self, id: UploadId) -> io::Result<()> {
        remove(&self.bytes_of(id)).await?;
        remove(&self.record_of(id)).await
    }

    /// Forgets what nobody has added to for [`LIFETIME`]; says how many uploads that were.
    pub async fn expire(&self) -> io::Result<usize> {
        let mut expired = 0;
        for record in self.records().await? {
            let (bytes, written) = (self.bytes_of(record.id), self.record_of(record.id));
            let changed = match changed_at(&bytes).await? {
                Some(changed) => Some(changed),
                None => changed_at(&written).await?,
            };
            let is_old = changed.is_some_and(|changed| changed.elapsed().is_ok_and(|age| age > LIFETIME));
            if is_old && let Some(_writing) = self.write_to(record.id) {
                self.delete(record.id).await?;
                expired += 1;
            }
        }
        Ok(expired)
    }

    /// When an upload goes unless something is added to it.
    pub async fn expires_at(&self, id: UploadId) -> io::Result<SystemTime> {
        let changed = match changed_at(&self.bytes_of(id)).await? {
            Some(changed) => Some(changed),
            None => changed_at(&self.record_of(id)).await?,
        };
        Ok(changed.unwrap_or_else(SystemTime::now) + LIFETIME)
    }

    async fn records(&self) -> io::Result<Vec<Record>> {
        let mut records = Vec::new();
        let mut entries = tokio::fs::read_dir(&self.folder).await?;
        while let Some(entry) = entries.next_entry().await? {
            let path = entry.path();
            if path.extension().is_some_and(|extension| extension == "json") {
                records.extend(read(&path).await?);
            }
        }
        Ok(records)
    }

    /// In one step, so that a crash leaves the record of before.
    async fn write(&self, record: &Record) -> io::Result<()> {
        let (path, new) = (self.record_of(record.id), self.folder.join(format!("{}.new", record.id)));
        let json = serde_json::to_vec(record).expect("a record has string keys");
        let mut file = File::create(&new).await?;
        file.write_all(&json).await?;
        file.sync_data().await?;
        tokio::fs::rename(new, path).await
    }

    fn record_of(&self, id: UploadId) -> PathBuf {
        self.folder.join(format!("{id}.json"))
    }

    fn bytes_of(&self, id: UploadId) -> PathBuf {
        self.folder.join(format!("{id}.part"))
    }
}

/// `None` when there is none, or one that was not written by this program.
async fn read(path: &Path) -> io::Result<Option<Record>> {
    match tokio::fs::read(path).await {
        Ok(json) => Ok(serde_json::from_slice(&json).ok()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

async fn length_of(path: &Path) -> io::Result<u64> {
    Ok(tokio::fs::metadata(path).await?.len())
}

async fn changed_at(path: &Path) -> io::Result<Option<SystemTime>> {
    match tokio::fs::metadata(path).await {
        Ok(found) => found.modified().map(Some),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

async fn remove(path: &Path) -> io::Result<()> {
    match tokio::fs::remove_file(path).await {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn from_io<E>(error: io::Error) -> StagingError<E> {
    if is_full(&error) { StagingError::Full } else { StagingError::Io(error) }
}
