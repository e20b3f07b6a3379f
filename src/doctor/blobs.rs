//! Blobs: one is written, read and deleted.

use std::os::unix::fs::MetadataExt;
use std::time::Duration;

use super::{Finding, Installation};
use crate::blob::{BlobError, BlobStore};

const ABOUT: &str = "blobs";
const PATIENCE: Duration = Duration::from_secs(20);

pub(super) async fn examine(installation: &Installation) -> Vec<Finding> {
    vec![look(installation).await]
}

async fn look(installation: &Installation) -> Finding {
    let (place, store) = match &installation.blobs_url {
        Some(url) => (url.clone(), BlobStore::s3(url)),
        None => {
            let folder = installation.data_folder.join("blobs");
            let Ok(metadata) = std::fs::metadata(&folder) else {
                let says = format!("{} is not there yet; the first server makes it", folder.display());
                return Finding::ok(ABOUT, says);
            };
            // What another user writes there could lock the server out of it.
            if metadata.uid() != rustix::process::geteuid().as_raw() {
                let says = format!("{} belongs to another user, so nothing was written there", folder.display());
                return Finding::warning(ABOUT, says, "Run this as the user that runs the server.");
            }
            (folder.display().to_string(), BlobStore::local(&folder))
        }
    };
    let tried = async { store?.check_round_trip().await };
    let tried = tokio::time::timeout(PATIENCE, tried).await;
    let tried = tried.unwrap_or_else(|_| Err(BlobError::Other("there is no answer".to_owned())));
    match tried {
        Ok(()) => Finding::ok(ABOUT, format!("one was written to {place}, read and deleted")),
        Err(error) => {
            let hint = match installation.blobs_url {
                Some(_) => {
                    "Check the bucket's name, AWS_REGION, AWS_ENDPOINT_URL and the key's rights to put, get, list and delete."
                }
                None => "Check the folder's owner, its mode and its disk.",
            };
            Finding::problem(ABOUT, format!("{place}: {error}"), hint)
        }
    }
}
