//! A worker by hand: takes tasks from the queue and finishes them with made-up results, so that a test decides what
//! happens when. What goes through the queue and the blob store is real.

use std::time::Duration;

use secateur::blob::{BlobKey, BlobStore};
use secateur::digest::Sha256;
use secateur::queue::{ClaimedTask, Finished, Queue, Share, Written};
use secateur::table::artifact::Output;
use secateur_core::stage::{Stage, TaskResult};
use secateur_core::wire::Computed;

use super::TestServer;

/// A worker by hand.
pub(crate) struct Hand {
    pub queue: Queue,
    blobs: BlobStore,
    folder: tempfile::TempDir,
    /// What it measures as every sensitivity.
    pub divergence: f64,
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
        Self { queue, blobs, folder: tempfile::tempdir().unwrap(), divergence: 0.5 }
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
        self.queue.claim("hand", share).await.unwrap()
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
        for name in task.plan.work.files() {
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
        Finished { stage: task.stage, index, computed, outputs, summary: None, log }
    }

    /// The stage's own made-up result, in which the divergences and the spec are this test's.
    fn result(&self, task: &ClaimedTask) -> TaskResult {
        let mut result = task.plan.work.sample();
        match &mut result {
            TaskResult::Sensitivity(result) => {
                result.measured.iter_mut().for_each(|sensitivity| sensitivity.divergence = self.divergence);
            }
            TaskResult::Verify(result) => result.report.spec = task.order.spec().expect("a job has a spec").clone(),
            _ => {}
        }
        result
    }
}
