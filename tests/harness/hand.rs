//! A worker by hand: takes tasks from the queue and finishes them with made-up results, so that a test decides what
//! happens when. What goes through the queue and the blob store is real.

use std::collections::BTreeMap;
use std::time::Duration;

use secateur::blob::{BlobKey, BlobStore};
use secateur::digest::Sha256;
use secateur::queue::{ClaimedTask, Finished, Queue, Share, Written};
use secateur::table::artifact::Output;
use secateur_core::latency::{LatencyFit, LatencyTable, Setting};
use secateur_core::measurement::Reused;
use secateur_core::report::{Accuracy, Costs, Equivalence, Frontier, Latency, NetworkReport, Reload, Report};
use secateur_core::sandbox::Sandbox;
use secateur_core::search::additive::{Probe, Sensitivity};
use secateur_core::spec::{EncoderObjective, JobSpec};
use secateur_core::stage::Stage;
use secateur_core::surgery::AxisIndices;
use secateur_core::task::{
    CalibrationResult, CandidateCosts, Computed, EncoderResult, ExportResult, GraphResult, ImportResult,
    ImportanceResult, InspectResult, LatencyResult, Rated, RungResult, Score, ScreenResult, Screened, SearchResult,
    SensitivityResult, TaskResult, TuneResult, VerifyResult, Work, file,
};

use super::TestServer;

const ACCURACY: Accuracy = Accuracy { val: 0.9, test: 0.8 };
const COSTS: Costs = Costs { macs: 100, params: 10, channels: 4, latency_ms: None };

/// A worker by hand.
pub struct Hand {
    pub queue: Queue,
    blobs: BlobStore,
    folder: tempfile::TempDir,
    /// How many candidates its search finds, and so how many tasks screen and tune have.
    candidates: usize,
    /// What it measures as every sensitivity.
    pub divergence: f64,
}

impl Hand {
    pub fn of(server: &TestServer) -> Self {
        Self::with_queue(server, server.queue())
    }

    /// A hand whose leases have another length.
    pub fn with_lease(server: &TestServer, lease: Duration) -> Self {
        Self::with_queue(server, server.queue_with_lease(lease))
    }

    fn with_queue(server: &TestServer, queue: Queue) -> Self {
        let blobs = BlobStore::local(&server.data_folder().join("blobs")).unwrap();
        Self { queue, blobs, folder: tempfile::tempdir().unwrap(), candidates: 2, divergence: 0.5 }
    }

    /// Takes a task that must be there.
    pub async fn claim(&self) -> ClaimedTask {
        self.try_claim().await.expect("there is a task to claim")
    }

    /// Takes an inspection when there is one, else a task of a job.
    pub async fn try_claim(&self) -> Option<ClaimedTask> {
        match self.claim_of(Share::Inspections).await {
            Some(task) => Some(task),
            None => self.claim_of(Share::Jobs).await,
        }
    }

    pub async fn claim_of(&self, share: Share) -> Option<ClaimedTask> {
        self.queue.claim("hand", share).await.unwrap()
    }

    /// Finishes tasks until one of `stage` is claimed, and returns that one.
    pub async fn claim_at(&self, stage: Stage) -> ClaimedTask {
        loop {
            let task = self.claim().await;
            if task.stage == stage {
                return task;
            }
            assert_eq!(self.finish(&task).await, Written::Accepted);
        }
    }

    /// Does everything that is left.
    pub async fn finish_all(&self) {
        while let Some(task) = self.try_claim().await {
            assert_eq!(self.finish(&task).await, Written::Accepted);
        }
    }

    pub async fn finish(&self, task: &ClaimedTask) -> Written {
        let finished = self.bring(task).await;
        self.queue.finish(&task.lease, &finished).await.unwrap()
    }

    /// A made-up result with its outputs in the blob store.
    pub async fn bring(&self, task: &ClaimedTask) -> Finished {
        let index = task.plan.index;
        let result = self.result(task);
        let mut outputs = Vec::new();
        for name in output_names(task) {
            let content = format!("{} {index} {name}", task.stage.as_str()).into_bytes();
            let path = self.folder.path().join(format!("{}-{name}", task.lease.task));
            std::fs::write(&path, &content).unwrap();
            let lease = &task.lease;
            let blob = BlobKey::output(lease.job, task.stage, index, lease.attempt, &name);
            self.blobs.put_file(&blob, &path).await.unwrap();
            outputs.push(Output { name, blob, sha256: Sha256::of(&content), bytes: content.len() as u64 });
        }
        let log = format!("worked on {} {index}\n", task.stage.as_str());
        let computed = Computed { result, device: "cpu".to_owned() };
        Finished { stage: task.stage, index, computed, outputs, summary: None, log }
    }

    /// The made-up divergence of every sensitivity that is asked for.
    fn measure(&self, work: &Work) -> Vec<Sensitivity> {
        let Work::Sensitivity { probes } = work else { return Vec::new() };
        let measure = |&Probe { group, width }: &Probe| Sensitivity { group, width, divergence: self.divergence };
        probes.iter().map(measure).collect()
    }

    fn result(&self, task: &ClaimedTask) -> TaskResult {
        let candidate = task.plan.index;
        match task.stage {
            Stage::Inspect => TaskResult::Inspect(InspectResult { base: COSTS, groups: 1 }),
            Stage::Import => TaskResult::Import(ImportResult {
                input_shapes: vec![vec![1, 8, 8]],
                nodes: 1,
                max_abs_diff: 0.0,
                bytes: 1,
                sha256: "00".to_owned(),
                accuracy: Some(ACCURACY),
                data: None,
            }),
            Stage::Graph => {
                let probes = [1, 2, 3].map(|width| Probe { group: 0, width }).into();
                TaskResult::Graph(GraphResult {
                    base: COSTS,
                    groups: 1,
                    channels: 4,
                    reachable: Some(0.9),
                    grouping: "groups".to_owned(),
                    probes,
                })
            }
            Stage::Latency => TaskResult::Latency(Box::new(LatencyResult { table: latency_table(), reachable: 0.9 })),
            Stage::Importance => TaskResult::Importance(ImportanceResult { samples: 8, loss: 0.5 }),
            Stage::Calibration => TaskResult::Calibration(CalibrationResult { measured: Vec::new() }),
            Stage::Encoder => TaskResult::Encoder(EncoderResult {
                objective: EncoderObjective::Contrastive,
                losses: vec![0.5, 0.1],
                contrastive_accuracy: Some(1.0),
                contrastive_accuracies: vec![0.9, 1.0],
                samples: 0,
                held_out: None,
            }),
            Stage::Sensitivity => {
                TaskResult::Sensitivity(SensitivityResult { measured: self.measure(&task.plan.work) })
            }
            Stage::Search => TaskResult::Search(SearchResult {
                candidates: (0..self.candidates)
                    .map(|index| CandidateCosts {
                        index,
                        origin: "uniform".to_owned(),
                        configuration: format!("configuration {index}"),
                        costs: COSTS,
                        reduction: 0.5,
                        similarity: None,
                        predicted_divergence: None,
                        predicted_value: None,
                    })
                    .collect(),
                search: None,
            }),
            Stage::Screen => TaskResult::Screen(ScreenResult {
                screened: shard(&task.plan.work)
                    .iter()
                    .map(|&candidate| Screened {
                        candidate,
                        equivalence: Equivalence { max_abs_diff: 0.0, tolerance: 1e-4 },
                        accuracy: Some(0.5 + candidate as f64 / 10.0),
                        agreement: None,
                    })
                    .collect(),
                channel_choice: None,
            }),
            Stage::Repair => TaskResult::Repair(rung(&task.plan.work, 0.55)),
            Stage::LightTune => TaskResult::LightTune(rung(&task.plan.work, 0.6)),
            Stage::Tune => TaskResult::Tune(TuneResult {
                candidate,
                epochs: Vec::new(),
                best_epoch: 1,
                accuracy: Some(ACCURACY),
                score: Score { accuracy: Some(0.9), loss: 0.1 },
            }),
            Stage::Export => {
                TaskResult::Export(ExportResult { candidate, base_bytes: 2, pruned_bytes: 1, accuracy: Some(ACCURACY) })
            }
            Stage::Verify => TaskResult::Verify(Box::new(VerifyResult { report: report(task.spec.clone()) })),
        }
    }
}

fn rung(work: &Work, accuracy: f64) -> RungResult {
    let score = Score { accuracy: Some(accuracy), loss: 0.1 };
    RungResult { steps: 10, rated: shard(work).iter().map(|&candidate| Rated { candidate, score }).collect() }
}

/// The candidates of a task that has several.
fn shard(work: &Work) -> &[usize] {
    match work {
        Work::Screen { candidates, .. } | Work::Repair { candidates } | Work::LightTune { candidates } => candidates,
        _ => &[],
    }
}

fn output_names(task: &ClaimedTask) -> Vec<String> {
    let of_shard =
        |name: fn(usize) -> String| shard(&task.plan.work).iter().map(|&candidate| name(candidate)).collect();
    let names: Vec<&str> = match task.stage {
        Stage::Import => vec![file::GRAPH, file::WEIGHTS],
        Stage::Graph => vec![file::SUMMARY],
        Stage::Importance => vec![file::IMPORTANCE],
        Stage::Encoder => vec![file::ENCODER],
        Stage::Inspect | Stage::Latency | Stage::Calibration | Stage::Sensitivity => Vec::new(),
        Stage::Search => vec![file::CANDIDATES],
        Stage::Screen => return of_shard(file::screened),
        Stage::Repair => return of_shard(file::repaired),
        Stage::LightTune => return of_shard(file::lightly_tuned),
        Stage::Tune => return vec![file::tuned(task.plan.index)],
        Stage::Export => vec![file::PRUNED_MODEL, file::BASE_MODEL, file::PROBES, file::CONFIG],
        Stage::Verify => vec![file::REPORT],
    };
    names.into_iter().map(str::to_owned).collect()
}

fn latency_table() -> LatencyTable {
    LatencyTable {
        setting: Setting { batch: 1, threads: 1, device: "cpu".to_owned() },
        base_ms: 2.0,
        nodes: Vec::new(),
        fit: LatencyFit {
            networks: 1,
            runs: 1,
            r2: 1.0,
            held_out_error: 0.0,
            held_out_worst: 0.0,
            base_error: 0.0,
            whole_over_nodes: 1.0,
        },
    }
}

fn report(spec: JobSpec) -> Report {
    let latency_ms = Latency { p50: 1.0, p95: 2.0, batch: 1, threads: 1, device: "cpu".to_owned(), runs: 10 };
    let base = NetworkReport { macs: 200, params: 20, bytes: 1000, accuracy: Some(ACCURACY), latency_ms };
    Report {
        spec,
        winner: "uniform".to_owned(),
        spearman_rho: None,
        repair: None,
        similarity_correlation: None,
        calibrated_correlation: None,
        regression_correlation: None,
        search: None,
        encoder: None,
        candidates: Vec::new(),
        frontier: Frontier::default(),
        channel_choice: None,
        data: None,
        pruned: NetworkReport { macs: 100, params: 10, bytes: 500, ..base.clone() },
        base,
        latency: None,
        reduction: BTreeMap::from([("flops_reduction".to_owned(), 0.5)]),
        layers: Vec::new(),
        kept: AxisIndices::default(),
        equivalence: Equivalence { max_abs_diff: 0.0, tolerance: 1e-4 },
        import_max_abs_diff: 0.0,
        reload: Reload { batches: vec![1, 2], max_abs_diff: 0.0, tolerance: 1e-4 },
        screened_accuracy: None,
        epochs: Vec::new(),
        best_epoch: None,
        seconds: BTreeMap::new(),
        devices: BTreeMap::new(),
        reused: Reused::default(),
        sandbox: Sandbox::default(),
        versions: BTreeMap::new(),
        seed: 0,
        model_sha256: "00".to_owned(),
        warnings: Vec::new(),
    }
}
