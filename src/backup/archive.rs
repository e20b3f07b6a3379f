//! The file: written and read as a stream, with a digest of everything.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::path::{Component, Path, PathBuf};

use super::{BLOBS, BackupError, DUMP, FORMAT, MANIFEST, Manifest, SavedFile};
use crate::digest::Hasher;

const BUFFER: usize = 1 << 20;

/// A backup that is being written.
pub(super) struct Writer {
    tar: tar::Builder<BufWriter<File>>,
    files: Vec<SavedFile>,
}

impl Writer {
    pub(super) fn new(file: File) -> Self {
        Self { tar: tar::Builder::new(BufWriter::with_capacity(BUFFER, file)), files: Vec::new() }
    }

    pub(super) fn add(&mut self, name: &str, path: &Path) -> io::Result<()> {
        let file = File::open(path)?;
        let bytes = file.metadata()?.len();
        let mut digested = Digested { inner: file.take(bytes), hasher: Hasher::default() };
        self.tar.append_data(&mut header(bytes), name, &mut digested)?;
        self.files.push(SavedFile { name: name.to_owned(), bytes, sha256: digested.hasher.finish() });
        Ok(())
    }

    /// Writes the manifest and everything that is still in memory.
    pub(super) fn finish(mut self, manifest: impl FnOnce(Vec<SavedFile>) -> Manifest) -> io::Result<Manifest> {
        let manifest = manifest(std::mem::take(&mut self.files));
        let json = serde_json::to_vec_pretty(&manifest).expect("texts and numbers are JSON");
        self.tar.append_data(&mut header(json.len() as u64), MANIFEST, json.as_slice())?;
        let mut file = self.tar.into_inner()?;
        file.flush()?;
        file.into_inner()?.sync_all()?;
        Ok(manifest)
    }
}

/// For its owner alone: it has the digests of keys, and everybody's models.
fn header(bytes: u64) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.set_size(bytes);
    header.set_mode(0o600);
    header
}

/// A reader whose bytes are digested on their way.
struct Digested<R> {
    inner: R,
    hasher: Hasher,
}

impl<R: Read> Read for Digested<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.hasher.update(&buffer[..read]);
        Ok(read)
    }
}

/// A backup that lies in a folder, file by file.
#[derive(Debug)]
pub(super) struct Unpacked {
    pub(super) manifest: Manifest,
    pub(super) dump: PathBuf,
    /// Where the bytes of each blob lie, by its key.
    pub(super) blobs: BTreeMap<String, PathBuf>,
}

/// Writes every file of a backup into a folder under names of our own, and compares them with the manifest.
pub(super) fn unpack(file: &Path, folder: &Path) -> Result<Unpacked, BackupError> {
    let damaged = |detail: String| BackupError::Damaged { file: file.to_owned(), detail };
    let read = |error: io::Error| damaged(error.to_string());
    let opened = File::open(file).map_err(BackupError::io(file.display().to_string()))?;
    let mut tar = tar::Archive::new(BufReader::with_capacity(BUFFER, opened));
    let (mut found, mut places) = (BTreeMap::new(), BTreeMap::new());
    let mut manifest: Option<Manifest> = None;
    for (number, entry) in tar.entries().map_err(read)?.enumerate() {
        let mut entry = entry.map_err(read)?;
        let name = entry.path().map_err(read)?.to_string_lossy().into_owned();
        if name == MANIFEST {
            manifest = Some(serde_json::from_reader(&mut entry).map_err(|error| damaged(error.to_string()))?);
            break;
        }
        let is_ours = name == DUMP || name.strip_prefix(BLOBS).is_some_and(is_key);
        if !is_ours {
            return Err(damaged(format!("it has a file `{name}`")));
        }
        let path = folder.join(number.to_string());
        let mut digested = Digested { inner: &mut entry, hasher: Hasher::default() };
        let mut copy = File::create_new(&path).map_err(BackupError::io(path.display().to_string()))?;
        let bytes = io::copy(&mut digested, &mut copy).map_err(read)?;
        found.insert(name.clone(), SavedFile { name: name.clone(), bytes, sha256: digested.hasher.finish() });
        places.insert(name, path);
    }
    let manifest = manifest.ok_or_else(|| damaged("its end is missing".to_owned()))?;
    if manifest.format > FORMAT {
        let detail =
            format!("it is of the later format {} and was made by Secateur {}", manifest.format, manifest.version);
        return Err(damaged(detail));
    }
    let expected: BTreeMap<String, SavedFile> =
        manifest.files.iter().map(|saved| (saved.name.clone(), saved.clone())).collect();
    if let Some(wrong) = expected.keys().chain(found.keys()).find(|name| expected.get(*name) != found.get(*name)) {
        return Err(damaged(format!("`{wrong}` is not what was saved")));
    }
    let dump = places.remove(DUMP).ok_or_else(|| damaged("it has no database".to_owned()))?;
    let blobs = places.into_iter().filter_map(|(name, path)| Some((name.strip_prefix(BLOBS)?.to_owned(), path)));
    Ok(Unpacked { manifest, dump, blobs: blobs.collect() })
}

/// Whether a text can be a key: names with `/` between, which lead nowhere else.
fn is_key(text: &str) -> bool {
    !text.is_empty() && Path::new(text).components().all(|component| matches!(component, Component::Normal(_)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(folder: &Path, change: impl FnOnce(&mut Manifest)) -> PathBuf {
        let content = folder.join("content");
        std::fs::write(&content, b"bytes").unwrap();
        let file = folder.join("backup.tar");
        let mut writer = Writer::new(File::create(&file).unwrap());
        writer.add(DUMP, &content).unwrap();
        // A name that is longer than a tar's header takes.
        writer.add(&format!("{BLOBS}jobs/{}/file", "j".repeat(150)), &content).unwrap();
        writer
            .finish(|files| {
                let mut manifest = Manifest {
                    format: FORMAT,
                    version: "0".to_owned(),
                    made_at: String::new(),
                    postgres: 0,
                    files,
                    blobs_elsewhere: None,
                };
                change(&mut manifest);
                manifest
            })
            .unwrap();
        file
    }

    fn unpacked(file: &Path) -> Result<Unpacked, BackupError> {
        unpack(file, tempfile::tempdir().unwrap().path())
    }

    #[test]
    fn what_was_written_is_read_back_with_every_name() {
        let folder = tempfile::tempdir().unwrap();
        let unpacked = unpacked(&write(folder.path(), |_| {})).unwrap();
        assert_eq!(unpacked.blobs.keys().collect::<Vec<_>>(), [&format!("jobs/{}/file", "j".repeat(150))]);
        assert_eq!(unpacked.manifest.files.len(), 2);
    }

    #[test]
    fn a_file_that_was_cut_off_anywhere_is_no_whole_backup() {
        let folder = tempfile::tempdir().unwrap();
        let file = write(folder.path(), |_| {});
        let whole = std::fs::read(&file).unwrap();
        for length in [0, 100, 512, 700, 1024, 2000] {
            std::fs::write(&file, &whole[..length]).unwrap();
            let refused = unpacked(&file).unwrap_err();
            assert!(matches!(refused, BackupError::Damaged { .. }), "{length}: {refused}");
        }
    }

    #[test]
    fn a_byte_that_changed_is_noticed_and_so_is_a_later_format() {
        let folder = tempfile::tempdir().unwrap();
        let file = write(folder.path(), |_| {});
        let mut bytes = std::fs::read(&file).unwrap();
        assert_eq!(&bytes[512..517], b"bytes");
        bytes[512] ^= 1;
        std::fs::write(&file, bytes).unwrap();
        assert!(unpacked(&file).unwrap_err().to_string().contains("`database.dump` is not what was saved"));
        let later = write(folder.path(), |manifest| manifest.format = FORMAT + 1);
        assert!(unpacked(&later).unwrap_err().to_string().contains("later format"));
    }

    #[test]
    fn a_key_leads_nowhere_else() {
        assert!(is_key("jobs/job_1/export/0/1/model.pt"));
        for text in ["", "../lock", "/etc/passwd", "jobs/../../lock"] {
            assert!(!is_key(text), "{text}");
        }
    }
}
