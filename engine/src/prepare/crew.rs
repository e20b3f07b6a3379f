//! Threads that decode samples, and the count of those that could not be.
//!
//! One thread reads the source and hands out work, through a channel of a few places so that no more is in memory than is decoded at the
//! moment. The others decode and write into the slots. A bad sample leaves its slot empty; when there are too many, or something
//! else went wrong, everybody stops.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;

use secateur_core::rejection::{Code, Rejection};
use serde::{Deserialize, Serialize};

use super::store::Slots;
use crate::error::Error;

/// Bad samples that are named.
const NAMED: usize = 20;
/// So many may be bad in a set of any size.
const TOLERATED: usize = 3;
/// In a large set, one of so many.
const TOLERATED_SHARE: usize = 100;

/// A sample that could not be read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BadSample {
    /// The file in the archive, or the row of the table.
    pub name: String,
    /// Why, a clause without a full stop.
    pub reason: String,
}

/// All samples that could not be read.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BadSamples {
    /// How many there are.
    pub count: usize,
    /// The first ones.
    pub first: Vec<BadSample>,
}

/// A sample as the store has it.
pub(super) struct Decoded {
    pub sample: Vec<u8>,
    pub mask: Option<Vec<u8>>,
    /// 0 where there are no classes.
    pub label: i64,
}

/// Why a sample was not decoded.
pub(super) enum Fault {
    /// It is a bad one.
    Bad(String),
    /// The whole set is refused.
    Refused(Rejection),
}

impl From<String> for Fault {
    fn from(reason: String) -> Self {
        Self::Bad(reason)
    }
}

/// Work for one slot.
pub(super) struct Job<J> {
    pub slot: usize,
    pub work: J,
}

/// Where the thread that reads puts work.
pub(super) struct Outbox<'a, J> {
    sender: SyncSender<Job<J>>,
    shared: &'a Shared<'a>,
    progress: &'a mut dyn FnMut(usize),
}

/// What all threads see.
struct Shared<'a> {
    done: AtomicUsize,
    stop: AtomicBool,
    failure: Mutex<Option<Error>>,
    tally: &'a Mutex<Tally>,
}

/// The bad samples so far, of a set of so many.
pub(super) struct Tally {
    pub samples: usize,
    pub bad: BadSamples,
}

/// Whether anybody wants more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Demand {
    More,
    Enough,
}

impl<J> Outbox<'_, J> {
    /// Hands out work; waits while there is enough.
    pub(super) fn send(&mut self, slot: usize, work: J) -> Demand {
        (self.progress)(self.shared.done.load(Ordering::Relaxed));
        if self.shared.stop.load(Ordering::Relaxed) || self.sender.send(Job { slot, work }).is_err() {
            return Demand::Enough;
        }
        Demand::More
    }

    /// Counts a sample that could not even be handed out.
    pub(super) fn bad(&mut self, name: String, reason: String) -> Demand {
        self.shared.bad(name, reason);
        if self.shared.stop.load(Ordering::Relaxed) { Demand::Enough } else { Demand::More }
    }
}

impl Tally {
    pub(super) fn new(samples: usize) -> Self {
        Self { samples, bad: BadSamples::default() }
    }

    /// The refusal of a set with too many bad samples.
    fn refusal(&self) -> Option<Rejection> {
        let most = TOLERATED.max(self.samples / TOLERATED_SHARE);
        if self.bad.count <= most {
            return None;
        }
        let first: Vec<String> =
            self.bad.first.iter().take(3).map(|bad| format!("`{}`: {}", bad.name, bad.reason)).collect();
        Some(
            Rejection::new(
                Code::InvalidDataset,
                format!(
                    "More than {most} of {} samples could not be read; one in {TOLERATED_SHARE} and at least {TOLERATED} are \
                     passed over. The first ones are {}.",
                    self.samples,
                    first.join("; ")
                ),
            )
            .at(self.bad.first.first().map(|bad| bad.name.clone()).unwrap_or_default())
            .hint("Take them out of the data set, or write them again."),
        )
    }
}

impl Shared<'_> {
    fn bad(&self, name: String, reason: String) {
        let mut tally = lock(self.tally);
        tally.bad.count += 1;
        if tally.bad.first.len() < NAMED {
            tally.bad.first.push(BadSample { name, reason });
        }
        if let Some(rejection) = tally.refusal() {
            self.fail(rejection.into());
        }
    }

    fn fail(&self, error: Error) {
        lock(&self.failure).get_or_insert(error);
        self.stop.store(true, Ordering::Relaxed);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The threads for one split.
pub(super) struct Crew<'a> {
    /// Threads that decode.
    pub threads: usize,
    pub slots: &'a Slots<'a>,
    /// Samples of the split.
    pub count: usize,
    pub tally: &'a Mutex<Tally>,
}

impl Crew<'_> {
    /// Fills the slots: `read` hands out work, `decode` makes a sample of it on one of the threads, `name` says what it was. Returns
    /// the label of each slot, `None` for a bad one.
    pub(super) fn fill<J: Send>(
        &self,
        progress: &mut dyn FnMut(usize),
        read: impl FnOnce(&mut Outbox<J>) -> Result<(), Error>,
        decode: impl Fn(&J) -> Result<Decoded, Fault> + Sync,
        name: impl Fn(&J) -> String + Sync,
    ) -> Result<Vec<Option<i64>>, Error> {
        let shared = Shared {
            done: AtomicUsize::new(0),
            stop: AtomicBool::new(false),
            failure: Mutex::new(None),
            tally: self.tally,
        };
        let labels = Mutex::new(vec![None; self.count]);
        let (sender, receiver) = sync_channel(2 * self.threads);
        let receiver = Mutex::new(receiver);
        thread::scope(|scope| {
            for _ in 0..self.threads {
                scope.spawn(|| work(&receiver, &shared, self.slots, &labels, &decode, &name));
            }
            let mut outbox = Outbox { sender, shared: &shared, progress };
            if let Err(error) = read(&mut outbox) {
                shared.fail(error);
            }
        });
        match shared.failure.into_inner().unwrap_or_else(PoisonError::into_inner) {
            Some(error) => Err(error),
            None => Ok(labels.into_inner().unwrap_or_else(PoisonError::into_inner)),
        }
    }
}

fn work<J>(
    receiver: &Mutex<Receiver<Job<J>>>,
    shared: &Shared,
    slots: &Slots,
    labels: &Mutex<Vec<Option<i64>>>,
    decode: &impl Fn(&J) -> Result<Decoded, Fault>,
    name: &impl Fn(&J) -> String,
) {
    loop {
        let job = lock(receiver).recv();
        let Ok(Job { slot, work }) = job else { return };
        if shared.stop.load(Ordering::Relaxed) {
            // The channel is emptied, so that the thread that reads does not wait for a place in it.
            continue;
        }
        // A decoder that panics on a stranger's bytes has not read the sample; it holds nothing that outlives the call.
        let decoded = catch_unwind(AssertUnwindSafe(|| decode(&work)))
            .unwrap_or_else(|_| Err(Fault::Bad("its decoder failed".to_owned())));
        match decoded {
            Ok(Decoded { sample, mask, label }) => match slots.put(slot, &sample, mask.as_deref()) {
                Ok(()) => lock(labels)[slot] = Some(label),
                Err(error) => shared.fail(error),
            },
            Err(Fault::Bad(reason)) => shared.bad(name(&work), reason),
            Err(Fault::Refused(rejection)) => shared.fail(rejection.into()),
        }
        shared.done.fetch_add(1, Ordering::Relaxed);
    }
}
