//! A worker by hand: takes tasks from the queue and finishes them with made-up results, so that a test decides what
//! happens when. What goes through the queue and the blob store is real.

use std::time::Duration;

use secateur::blob::{BlobKey, BlobStore};
use secateur::digest::Sha256;
use secateur::queue::{Capacity, ClaimedTask, Finished, ForLaterJobs, Queue, Share, Written, fingerprint};
use secateur::table::artifact::Output;
use secateur::table::loose_blob;
use secateur::table::prepared::NewPrepared;
use secateur_core::dataset::summarise;
use secateur_core::stage::import::Preparation;
use secateur_core::stage::prepare::SAMPLES;
use secateur_core::stage::{Stage, TaskResult};
use secateur_core::wire::Computed;

use super::{TestServer, example};

/// Bytes of the samples that a hand prepares.
pub(crate) const PREPARED_BYTES: u64 = 1000;

/// A worker by hand.
pub(crate) struct Hand {
    pub queue: Queue,
    blobs: BlobStore,
    folder: tempfile::TempDir,
    /// What it measures as every sensitivity.
    pub divergence: f64,
    /// What it finds that a data set needs before it is arrays.
    pub preparation: Option<Preparation>,
    pub capacity: Capacity,
    /// Whether it finds the samples of earlier jobs damaged.
    pub finds_damage: bool,
}

impl Hand {
    pub(crate) fn of(server: &TestServer) -> Self {
        Self::with_queue(server, server.queue())
    }

    /// A hand whose leases have another length.
    pub(crate) fn with_lease(server: &TestServer, lease: Duration) -> Self {
        Self::with_queue(server, server.queue_with_lease(lease))
    }

    fn with_queue(server: &TestServer, queue: Queue) -> Self {
        let blobs = BlobStore::local(&server.data_folder().join("blobs")).unwrap();
        let folder = tempfile::tempdir().unwrap();
        Self {
            queue,
            blobs,
            folder,
            divergence: 0.5,
            preparation: None,
            capacity: Capacity::default(),
            finds_damage: false,
        }
    }

    /// Takes a task that must be there.
    pub(crate) async fn claim(&self) -> ClaimedTask {
        self.try_claim().await.expect("there is a task to claim")
    }

    /// Takes an inspection when there is one, else a task of a job.
    pub(crate) async fn try_claim(&self) -> Option<ClaimedTask> {
        match self.claim_of(Share::Inspections).await {
            Some(task) => Some(task),
            None => self.claim_of(Share::Jobs).await,
        }
    }

    pub(crate) async fn claim_of(&self, share: Share) -> Option<ClaimedTask> {
        self.queue.claim("hand", share, self.capacity).await.unwrap()
    }

    /// Finishes tasks until one of `stage` is claimed, and returns that one.
    pub(crate) async fn claim_at(&self, stage: Stage) -> ClaimedTask {
        loop {
            let task = self.claim().await;
            if task.stage == stage {
                return task;
            }
            assert_eq!(self.finish(&task).await, Written::Accepted);
        }
    }

    /// Does everything that is left.
    pub(crate) async fn finish_all(&self) {
        while let Some(task) = self.try_claim().await {
            assert_eq!(self.finish(&task).await, Written::Accepted);
        }
    }

    pub(crate) async fn finish(&self, task: &ClaimedTask) -> Written {
        let finished = self.bring(task).await;
        self.queue.finish(&task.lease, &finished).await.unwrap()
    }

    /// A made-up result with its outputs in the blob store.
    pub(crate) async fn bring(&self, task: &ClaimedTask) -> Finished {
        let index = task.plan.index;
        let result = self.result(task);
        let mut outputs = Vec::new();
        let mut for_later_jobs = ForLaterJobs::default();
        for name in result.files(&task.plan.work) {
            if name == SAMPLES {
                for_later_jobs = self.prepare(task).await;
                continue;
            }
            let content = format!("{} {index} {name}", task.stage.as_str()).into_bytes();
            let path = self.folder.path().join(format!("{}-{name}", task.lease.task));
            std::fs::write(&path, &content).unwrap();
            let lease = &task.lease;
            let blob = BlobKey::output(lease.job, task.stage, index, lease.attempt, &name);
            self.blobs.put_file(&blob, &path).await.unwrap();
            outputs.push(Output { name, blob, sha256: Sha256::of(&content), bytes: content.len() as u64 });
        }
        let log = format!("worked on {} {index}\n", task.stage.as_str());
        let computed = Computed { result, device: "cpu".to_owned(), computing_s: Some(0.25) };
        Finished {
            stage: task.stage,
            index,
            computed,
            outputs,
            summary: None,
            for_later_jobs,
            readings: Vec::new(),
            log,
        }
    }

    /// Stores samples for this and for later jobs.
    async fn prepare(&self, task: &ClaimedTask) -> ForLaterJobs {
        let blob = BlobKey::prepared(task.dataset_id.unwrap(), task.lease.task, task.lease.attempt);
        loose_blob::insert(self.queue.database().pool(), &blob, Duration::from_mins(1)).await.unwrap();
        let path = self.folder.path().join(task.lease.task.to_string());
        let content = vec![1; PREPARED_BYTES as usize];
        std::fs::write(&path, &content).unwrap();
        self.blobs.put_file(&blob, &path).await.unwrap();
        let made = NewPrepared {
            blob,
            dataset: task.dataset_id.unwrap(),
            fingerprint: fingerprint(&task.plan).unwrap().to_owned(),
            sha256: Sha256::of(&content),
            bytes: PREPARED_BYTES,
            summary: summarise(&example("digits.npz")).unwrap(),
            source: None,
        };
        let refused = task.earlier.as_ref().map(|earlier| earlier.blob.clone());
        ForLaterJobs { made: Some(made), refused }
    }

    /// The stage's own made-up result, in which the divergences and the spec are this test's.
    fn result(&self, task: &ClaimedTask) -> TaskResult {
        let mut result = task.plan.work.sample();
        match &mut result {
            TaskResult::Sensitivity(result) => {
                result.measured.iter_mut().for_each(|sensitivity| sensitivity.divergence = self.divergence);
            }
            TaskResult::Import(result) => {
                result.has_source = self.preparation.is_some();
                result.preparation.clone_from(&self.preparation);
            }
            TaskResult::Prepare(result) => result.is_taken_over = task.earlier.is_some() && !self.finds_damage,
            TaskResult::Verify(result) => result.report.spec = task.order.spec().expect("a job has a spec").clone(),
            _ => {}
        }
        result
    }
}
