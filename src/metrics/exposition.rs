//! The text that Prometheus reads.

use prometheus::{Encoder, GaugeVec, Opts, Registry, TextEncoder};
use secateur_core::stage::Stage;

use super::Metrics;
use super::figures::{Figures, LatestFigures};
use crate::blob::Disk;
use crate::job::JobStatus;
use crate::queue::Queue;

/// Of the text.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Everything that is shown of a process; clones share it.
#[derive(Debug, Clone)]
pub struct Exposition {
    pub recorded: Metrics,
    queue: Queue,
    slots: usize,
    disk: Option<Disk>,
    /// Of a server; workers leave them to it, since they are the same wherever they are read.
    figures: Option<LatestFigures>,
}

impl Exposition {
    /// Of a server: with the figures of the whole queue and of the disk that it keeps its data on.
    pub fn of_server(recorded: Metrics, queue: Queue, slots: usize, disk: Disk) -> Self {
        Self { recorded, queue, slots, disk: Some(disk), figures: Some(LatestFigures::default()) }
    }

    /// Of a worker: what it has done itself.
    pub fn of_worker(recorded: Metrics, queue: Queue, slots: usize) -> Self {
        Self { recorded, queue, slots, disk: None, figures: None }
    }

    /// The whole text, with what is found now.
    pub async fn text(&self) -> String {
        let found = Found::default();
        found.gauge("secateur_build_info", "This program.", ["version"], [([env!("CARGO_PKG_VERSION")], 1.0)]);
        found.gauge("secateur_worker_slots", "Tasks of jobs that run at once here.", [], [([], self.slots as f64)]);
        self.show_pool(&found);
        if let Some(space) = self.disk.as_ref().and_then(|disk| disk.space().ok()) {
            let help = "Bytes that are free on the disk of the data folder.";
            found.gauge("secateur_disk_free_bytes", help, [], [([], space.free_bytes as f64)]);
            let help = "Bytes of that disk that are kept free: with less, nothing is taken.";
            found.gauge("secateur_disk_reserve_bytes", help, [], [([], space.reserve_bytes as f64)]);
        }
        if let Some(latest) = &self.figures {
            let figures = latest.read(self.queue.database()).await;
            let help = "Whether the database answered for the figures of the queue.";
            found.gauge("secateur_database_up", help, [], [([], f64::from(u8::from(figures.is_ok())))]);
            match figures {
                Ok(figures) => show_figures(&figures, &found),
                Err(error) => tracing::warn!(%error, "no figures of the queue"),
            }
        }
        self.recorded.count_lease_expiries(self.queue.take_lease_expiries());
        let mut families = self.recorded.registry.gather();
        families.extend(found.0.gather());
        let mut text = Vec::new();
        TextEncoder::new().encode(&families, &mut text).expect("a vector takes everything");
        String::from_utf8(text).expect("names and labels are texts")
    }

    fn show_pool(&self, found: &Found) {
        let pool = self.queue.database().pool();
        let idle = pool.num_idle();
        let in_use = (pool.size() as usize).saturating_sub(idle);
        let help = "Connections of this process to the database.";
        let states = [(["in_use"], in_use as f64), (["idle"], idle as f64)];
        found.gauge("secateur_database_connections", help, ["state"], states);
        let most = f64::from(pool.options().get_max_connections());
        let help = "Connections to the database that this process may have.";
        found.gauge("secateur_database_connections_max", help, [], [([], most)]);
    }
}

fn show_figures(figures: &Figures, found: &Found) {
    let states = ["queued", "held", "running", "waiting"];
    let of_tasks = |state: &str, stage: &str| figures.tasks.iter().find(|row| row.state == state && row.stage == stage);
    let every = || states.iter().flat_map(|&state| Stage::ALL.iter().map(move |stage| (state, stage.as_str())));
    found.gauge(
        "secateur_tasks",
        "Tasks that have not ended: queued for a worker, held while their job is paused, running on a worker, or waiting for a judge.",
        ["state", "stage"],
        every().map(|(state, stage)| ([state, stage], of_tasks(state, stage).map_or(0.0, |row| row.count as f64))),
    );
    found.gauge(
        "secateur_oldest_queued_task_age_seconds",
        "How long ago the oldest task was planned that no worker has yet; 0 where none is queued.",
        ["stage"],
        Stage::ALL.iter().map(|stage| {
            let oldest = of_tasks("queued", stage.as_str()).map_or(0.0, |row| row.oldest_s.max(0.0));
            ([stage.as_str()], oldest)
        }),
    );
    let of_jobs = |status: JobStatus| figures.jobs.iter().find(|row| row.status == status.as_str());
    found.gauge(
        "secateur_jobs",
        "Jobs that are there, by status.",
        ["status"],
        JobStatus::ALL.map(|status| ([status.as_str()], of_jobs(status).map_or(0.0, |row| row.count as f64))),
    );
    let stored = &figures.stored;
    let kinds = [
        (["model"], stored.models),
        (["dataset"], stored.datasets),
        (["artifact"], stored.artifacts),
        (["prepared"], stored.prepared),
    ];
    let help = "Bytes of blobs to which rows refer.";
    found.gauge("secateur_stored_bytes", help, ["kind"], kinds.map(|(kind, bytes)| (kind, bytes as f64)));
}

/// What is looked up for one text and forgotten with it, so that no figure outlives what it counts.
#[derive(Default)]
struct Found(Registry);

impl Found {
    fn gauge<const N: usize>(
        &self,
        name: &str,
        help: &str,
        labels: [&str; N],
        samples: impl IntoIterator<Item = ([&'static str; N], f64)>,
    ) {
        let gauge = GaugeVec::new(Opts::new(name, help), &labels).expect("names are valid");
        for (values, sample) in samples {
            gauge.with_label_values(&values).set(sample);
        }
        self.0.register(Box::new(gauge)).expect("no other has its name");
    }
}
