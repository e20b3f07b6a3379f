//! One engine on one hostile archive, with layers taken away.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use futures::StreamExt;
use secateur::engine::{self, EngineBinary, Exit, Told};
use secateur_core::sandbox::Mode;
use secateur_core::spec::JobSpec;
use secateur_core::stage::Work;
use secateur_core::stage::import::MODEL;
use secateur_core::wire::{Device, PROTOCOL, TaskRequest};
use tempfile::TempDir;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::outcome::{End, Seen};
use crate::hostile::catalogue::{Attack, Fixtures};
use crate::with_engine::engine;

/// Engines at once.
const ABREAST: usize = 2;
const BETWEEN_LOOKS: Duration = Duration::from_millis(50);
const SPEC: &str =
    r#"{"target": {"flops_reduction": 0.5}, "method": "global_l2", "input_shape": [4], "fine_tune": null}"#;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Layer {
    Preflight,
    Operators,
    Sandbox,
}

/// What an engine may take of this machine, whatever its own layers allow.
#[derive(Debug, Clone, Copy)]
pub(super) struct Net {
    /// Of one processor.
    pub processor_seconds: u64,
    /// Of address space.
    pub kibibytes: u64,
    /// By the clock, on a machine that does other things too.
    pub time: Duration,
}

impl Net {
    /// An honest import takes half a second and one gigabyte of addresses.
    pub(super) const TIGHT: Self = Self { processor_seconds: 3, kibibytes: 4 << 20, time: Duration::from_mins(5) };
}

/// Tries every attack on engines without these layers, then an honest network on one more.
pub(super) async fn run_all(fixtures: &Fixtures, without: &[Layer]) -> Vec<Seen> {
    let starter = LimitedEngine::without(without, Net::TIGHT);
    let tries = fixtures.attacks.iter().map(|attack| starter.attack(fixtures, attack));
    let seen = futures::stream::iter(tries).buffered(ABREAST).collect().await;
    let honest = starter.run(&fixtures.honest()).await;
    assert!(
        matches!(honest.exit, Exit::Done { .. }),
        "an honest network after them: {:?}\n{}",
        honest.exit,
        honest.log
    );
    seen
}

/// An engine without some layers, within limits that it does not set itself.
pub(super) struct LimitedEngine {
    engine: EngineBinary,
    net: Net,
    _folder: TempDir,
}

/// What one run left.
pub(super) struct Run {
    pub exit: Exit,
    pub log: String,
    /// Everything that came out of it.
    said: Vec<Vec<u8>>,
    /// Processes that are still there.
    left: Vec<String>,
    /// The most memory that it held.
    pub peak_kibibytes: u64,
    pub took: Duration,
}

impl LimitedEngine {
    pub(super) fn without(layers: &[Layer], net: Net) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut engine = engine();
        let script = folder.path().join("limited-engine");
        let Net { processor_seconds, kibibytes, .. } = net;
        // File sizes in blocks of 512 bytes: 128 MB.
        let limits =
            format!("ulimit -c 0 && ulimit -t {processor_seconds} && ulimit -v {kibibytes} && ulimit -f 262144");
        let program = engine.path.display();
        std::fs::write(&script, format!("#!/bin/sh\n{limits} && exec '{program}' \"$@\"\n")).unwrap();
        std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).unwrap();
        engine.path = script;
        let names = layers.iter().filter_map(|layer| match layer {
            Layer::Preflight => Some("preflight"),
            Layer::Operators => Some("operators"),
            Layer::Sandbox => None,
        });
        let names: Vec<&str> = names.collect();
        engine.environment.push(("SECATEUR_ENGINE_WITHOUT".into(), names.join(",").into()));
        engine.confinement.mode = if layers.contains(&Layer::Sandbox) { Mode::Off } else { Mode::Require };
        Self { engine, net, _folder: folder }
    }

    async fn attack(&self, fixtures: &Fixtures, attack: &Attack) -> Seen {
        let canaries = fixtures.canaries(attack);
        canaries.set_out();
        let run = self.run(&fixtures.path(attack)).await;
        let traces = canaries.traces(&run.said);
        Seen { name: attack.name.clone(), end: End::of(&run.exit), traces, left: run.left }
    }

    pub(super) async fn run(&self, model: &Path) -> Run {
        let folder = tempfile::tempdir().unwrap();
        std::fs::copy(model, folder.path().join(MODEL)).unwrap();
        let request = TaskRequest {
            protocol: PROTOCOL,
            spec: Some(JobSpec::from_json(SPEC).expect("the spec is valid")),
            work: Work::Import(()),
            threads: 1,
            device: Device::Cpu,
            checkpoint_interval_s: None,
        };
        let told = watch::Sender::new(Told::default());
        let (checkpoints, _) = mpsc::unbounded_channel();
        let stop = CancellationToken::new();
        let mut peak_kibibytes = 0;
        let running = engine::run(engine::Run {
            engine: &self.engine,
            folder: folder.path(),
            request: &request,
            timeout: self.net.time,
            told: &told,
            checkpoints: &checkpoints,
            stop: &stop,
        });
        let ended = tokio::select! {
            ended = running => ended,
            () = watch_memory(folder.path(), &mut peak_kibibytes) => unreachable!("it looks for ever"),
        };
        let left = processes_in(folder.path()).iter().map(|process| process.display().to_string()).collect();
        let mut said = vec![ended.log.clone().into_bytes(), format!("{:?}", ended.exit).into_bytes()];
        let outputs = files_in(folder.path()).into_iter().filter(|path| path.file_name() != Some(MODEL.as_ref()));
        said.extend(outputs.map(|path| std::fs::read(path).unwrap()));
        Run { exit: ended.exit, log: ended.log, said, left, peak_kibibytes, took: ended.took }
    }
}

async fn watch_memory(folder: &Path, peak_kibibytes: &mut u64) {
    let mut looks = tokio::time::interval(BETWEEN_LOOKS);
    loop {
        looks.tick().await;
        let peaks = processes_in(folder).into_iter().filter_map(|process| {
            let status = std::fs::read_to_string(process.join("status")).ok()?;
            status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.split_whitespace().next()?.parse().ok())
        });
        *peak_kibibytes = peaks.fold(*peak_kibibytes, u64::max);
    }
}

fn files_in(folder: &Path) -> Vec<PathBuf> {
    std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_file()).collect()
}

/// Processes that work in the folder, which nobody but the engine and its children do.
fn processes_in(folder: &Path) -> Vec<PathBuf> {
    let folder = folder.canonicalize().unwrap();
    let processes = std::fs::read_dir("/proc").unwrap().flatten().map(|entry| entry.path());
    processes.filter(|process| std::fs::read_link(process.join("cwd")).is_ok_and(|place| place == folder)).collect()
}
