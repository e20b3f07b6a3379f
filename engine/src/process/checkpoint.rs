//! Checkpoints: what a task needs to go on where an earlier attempt was lost.
//!
//! A stage asks once, with [`Checkpoints::resume`], whether an earlier attempt left something, and offers its state with
//! [`Checkpoints::save`] wherever it could be taken up again. Most offers are declined: checkpoints are written no more
//! often than the request says, and not at all when it says nothing. A written one is announced to the worker, which
//! carries it to the next attempt.
//!
//! A checkpoint is one file: the SHA-256 of the rest, then safetensors with the tensors, and in the header the state as JSON
//! and the digest of the task that it is of. Double precision goes into tensors, which keep every bit. One that is damaged, of
//! another task, another version or another shape is ignored with a line in the log, and the task starts from the beginning. A
//! checkpoint that cannot be written is a line in the log too: no task fails for want of one.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use secateur_core::digest::digest;
use secateur_core::stage::Stage;
use secateur_core::wire::{CHECKPOINT, PROTOCOL, TaskRequest};
use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};
use tch::{Device, Kind, Tensor};

use crate::error::Error;
use crate::network::weights;
use crate::process::fault;
use crate::process::messages::Messages;
use crate::torch::runtime;

/// Raised when the state of any stage changes its meaning.
const VERSION: u32 = 1;

const DIGEST_BYTES: usize = 32;
const IDENTITY: &str = "identity";
const AT: &str = "at";
const STATE: &str = "state";

/// The checkpoints of one task.
pub struct Checkpoints<'a> {
    folder: &'a Path,
    messages: &'a Messages,
    stage: Stage,
    /// The least time between two; `None` writes none.
    interval: Option<Duration>,
    identity: String,
    last: Mutex<Last>,
}

struct Last {
    written: Instant,
    count: u32,
    /// The task began from an earlier attempt's.
    has_resumed: bool,
}

/// A checkpoint as it was found.
struct Read {
    at: String,
    state: String,
    saved: Saved,
}

/// The tensors of a checkpoint that is being taken up.
pub struct Saved(HashMap<String, Tensor>);

impl<'a> Checkpoints<'a> {
    pub fn of(request: &TaskRequest, folder: &'a Path, messages: &'a Messages) -> Self {
        let identity = digest(&serde_json::json!({
            "version": VERSION,
            "protocol": PROTOCOL,
            "libtorch": runtime::version(),
            "spec": request.spec,
            "work": request.work,
        }));
        Self {
            folder,
            messages,
            stage: request.work.stage(),
            interval: request.checkpoint_interval_s.map(|seconds| Duration::from_secs_f64(seconds.max(0.0))),
            identity,
            last: Mutex::new(Last { written: Instant::now(), count: 0, has_resumed: false }),
        }
    }

    /// What `restore` makes of the state and the tensors that an earlier attempt left; `None` when there is nothing, or
    /// nothing that fits. The log says which of these it was, unless there is nothing.
    pub fn resume<S: DeserializeOwned, T>(&self, restore: impl FnOnce(S, &mut Saved) -> Result<T, Error>) -> Option<T> {
        let path = self.folder.join(CHECKPOINT);
        if !path.exists() {
            return None;
        }
        let restored = self.read(&path).and_then(|Read { at, state, mut saved }| {
            let state = serde_json::from_str(&state)
                .map_err(|error| Error::internal(format!("its state does not read: {error}")))?;
            Ok((at, restore(state, &mut saved)?))
        });
        match restored {
            Ok((at, restored)) => {
                self.messages.log(format!("going on after {at}"));
                self.last.lock().unwrap_or_else(PoisonError::into_inner).has_resumed = true;
                Some(restored)
            }
            Err(error) => {
                self.messages.log(format!("the checkpoint is ignored: {error}"));
                None
            }
        }
    }

    /// Writes a checkpoint if one is due; `at` says where the task stands, for the log.
    pub fn save(
        &self,
        at: &str,
        state: &impl Serialize,
        tensors: impl FnOnce() -> Result<Vec<(String, Tensor)>, Error>,
    ) {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if self.interval.is_none_or(|interval| last.written.elapsed() < interval) {
            return;
        }
        last.count += 1;
        let name = format!("checkpoint-{}", last.count);
        match tensors().and_then(|tensors| self.write(&name, at, state, &tensors)) {
            Ok(()) => {
                self.messages.log(format!("checkpoint at {at}"));
                self.messages.checkpoint(&name);
                if !last.has_resumed {
                    fault::after_checkpoint(self.stage);
                }
            }
            Err(error) => self.messages.log(format!("no checkpoint could be written at {at}: {error}")),
        }
        last.written = Instant::now();
    }

    fn write(&self, name: &str, at: &str, state: &impl Serialize, tensors: &[(String, Tensor)]) -> Result<(), Error> {
        let state = serde_json::to_string(state).map_err(|error| Error::internal(error.to_string()))?;
        let header = HashMap::from([
            (IDENTITY.to_owned(), self.identity.clone()),
            (AT.to_owned(), at.to_owned()),
            (STATE.to_owned(), state),
        ]);
        let named = tensors.iter().map(|(name, tensor)| (name.as_str(), tensor));
        let content = weights::to_bytes(named, Some(header))?;
        let mut bytes = Sha256::digest(&content).to_vec();
        bytes.extend(content);
        let path = self.folder.join(name);
        std::fs::write(&path, bytes).map_err(Error::file(&path))
    }

    fn read(&self, path: &Path) -> Result<Read, Error> {
        let bytes = std::fs::read(path).map_err(Error::file(path))?;
        let damaged = || Error::internal("it is damaged");
        let (expected, content) = bytes.split_at_checked(DIGEST_BYTES).ok_or_else(damaged)?;
        if Sha256::digest(content).as_slice() != expected {
            return Err(damaged());
        }
        let mut header = weights::header(content)?;
        if header.remove(IDENTITY).as_deref() != Some(self.identity.as_str()) {
            return Err(Error::internal("it is of another task or another version"));
        }
        let (at, state) = (header.remove(AT).ok_or_else(damaged)?, header.remove(STATE).ok_or_else(damaged)?);
        let tensors = weights::from_bytes(content, Device::Cpu)?;
        Ok(Read { at, state, saved: Saved(tensors.into_iter().collect()) })
    }
}

impl Saved {
    /// A tensor that must be there in the shape, the type and on the device of another.
    pub fn like(&mut self, name: &str, other: &Tensor) -> Result<Tensor, Error> {
        let tensor = self.take(name)?;
        if tensor.size() != other.size() || tensor.f_kind()? != other.f_kind()? {
            return Err(Error::internal(format!(
                "`{name}` is {:?} {:?} and should be {:?} {:?}",
                tensor.f_kind()?,
                tensor.size(),
                other.f_kind()?,
                other.size()
            )));
        }
        Ok(tensor.f_to(other.device())?)
    }

    /// Exact numbers, `[N]`.
    pub fn numbers(&mut self, name: &str) -> Result<Vec<f64>, Error> {
        let tensor = self.take(name)?;
        if tensor.f_kind()? != Kind::Double || tensor.dim() != 1 {
            return Err(Error::internal(format!("`{name}` is no list of numbers")));
        }
        Ok(Vec::try_from(&tensor)?)
    }

    fn take(&mut self, name: &str) -> Result<Tensor, Error> {
        self.0.remove(name).ok_or_else(|| Error::internal(format!("it holds no `{name}`")))
    }
}

/// Numbers as a tensor that [`Saved::numbers`] reads back.
pub fn numbers(name: &str, values: &[f64]) -> Result<(String, Tensor), Error> {
    Ok((name.to_owned(), Tensor::f_from_slice(values)?))
}
