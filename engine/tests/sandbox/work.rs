//! What goes on as before.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use libtest_mimic::Trial;
use secateur_core::sandbox::{Ceilings, Mode, Settings};
use secateur_core::spec::JobSpec;
use secateur_core::stage::Work;
use secateur_core::stage::import::{DATASET, MODEL};
use secateur_core::stage::importance::IMPORTANCE;
use secateur_core::wire::{Device, EngineMessage, Outcome, PROTOCOL, TaskRequest, read_frame, write_frame};
use tempfile::TempDir;

use crate::attempt::ALLOWED;
use crate::prisoner::{Prison, Starter, account_of_root};
use crate::trial;

pub(crate) fn trials() -> Vec<Trial> {
    let allowed = |starter| {
        move || {
            let names: Vec<&str> = ALLOWED.iter().map(|(name, _)| *name).collect();
            let prisoner = Prison::of(starter).requiring().admit(&names);
            for name in names {
                assert!(prisoner.ended(name).is_ok(), "{name}: {:?}", prisoner.ended(name));
            }
        }
    };
    let mut trials = vec![
        trial("an ordinary user's engine does what libtorch needs", allowed(Starter::OrdinaryUser)),
        trial("an import and a training step work in the sandbox that every machine can have", || {
            import_and_train(None);
        }),
        trial("a model that needs more memory than the ceiling is refused for want of memory", out_of_memory),
        trial("CPU time ends with a signal that can be told from others", out_of_time),
    ];
    if let Some(account) = account_of_root() {
        trials.push(trial("root's engine does what libtorch needs", allowed(Starter::Root)));
        trials.push(trial("an import and a training step work as a user of its own", move || {
            import_and_train(Some(account));
        }));
    }
    trials
}

const SPEC: &str = r#"{"target": {"flops_reduction": 0.5}, "input": {"mean": 4.9, "std": 6.0}, "importance": {"criterion": "taylor"}}"#;

fn import_and_train(account: Option<u32>) {
    let (_closed, folder) = folder_with("vgg-digits.pt", account);
    let ceilings =
        Ceilings { memory_bytes: Some(4 << 30), cpu_seconds: Some(300), file_bytes: Some(1 << 30), threads: Some(128) };
    let settings = Settings { mode: Mode::Require, account, ceilings };
    for work in [Work::Import(()), Work::Importance(())] {
        let outcome = run(&folder, &settings, SPEC, work);
        assert!(matches!(outcome, Some(Outcome::Done { .. })), "{outcome:?}");
    }
    assert!(folder.join(IMPORTANCE).is_file());
}

fn out_of_memory() {
    let (_closed, folder) = folder_with("resnet20-digits.pt", None);
    fs::remove_file(folder.join(DATASET)).unwrap();
    // libtorch starts in a quarter of it; one activation of this size takes half.
    let ceilings = Ceilings { memory_bytes: Some(512 << 20), ..Ceilings::default() };
    let settings = Settings { mode: Mode::Require, account: None, ceilings };
    let spec = r#"{"target": {"flops_reduction": 0.5}, "input_shape": [1, 2048, 2048], "fine_tune": null}"#;
    match run(&folder, &settings, spec, Work::Import(())) {
        Some(Outcome::Rejected { rejection }) => assert!(rejection.detail.contains("memory"), "{rejection}"),
        other => panic!("{other:?}"),
    }
}

fn out_of_time() {
    let prison = Prison::of(Starter::OrdinaryUser);
    let mut prisoner = prison.admit(&[]);
    let limits = fs::read_to_string(prisoner.proc("limits")).unwrap();
    let cpu = limits.lines().find(|line| line.starts_with("Max cpu time")).unwrap();
    let words: Vec<&str> = cpu.split_whitespace().collect();
    assert_eq!((words[3], words[4]), ("60", "65"), "first the signal that can be told apart: {cpu}");
    prisoner.child.stdin.take();
    assert!(prisoner.child.wait().unwrap().success());
}

/// A task's folder, in one that is closed: an engine with a user of its own does not pass through the folders around its own.
fn folder_with(model: &str, account: Option<u32>) -> (TempDir, PathBuf) {
    let closed = tempfile::Builder::new().permissions(fs::Permissions::from_mode(0o700)).tempdir().unwrap();
    let folder = closed.path().join("task");
    fs::create_dir(&folder).unwrap();
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples");
    for (from, to) in [(model, MODEL), ("digits.npz", DATASET)] {
        fs::copy(examples.join(from), folder.join(to)).unwrap();
        fs::set_permissions(folder.join(to), fs::Permissions::from_mode(0o644)).unwrap();
    }
    if let Some(account) = account {
        chown(&folder, None, Some(account)).unwrap();
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o1770)).unwrap();
    }
    (closed, folder)
}

/// The outcome of a task, or nothing when the engine died.
fn run(folder: &Path, settings: &Settings, spec: &str, work: Work) -> Option<Outcome> {
    let mut engine = Command::new(env!("CARGO_BIN_EXE_secateur-engine"))
        .args(["--sandbox", &serde_json::to_string(settings).unwrap()])
        .current_dir(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let spec = Some(JobSpec::from_json(spec).unwrap());
    let request =
        TaskRequest { protocol: PROTOCOL, spec, work, threads: 2, device: Device::Cpu, checkpoint_interval_s: None };
    let mut input = engine.stdin.take().unwrap();
    write_frame(&mut input, &request).unwrap();
    let mut output = engine.stdout.take().unwrap();
    let mut outcome = None;
    while let Ok(Some(message)) = read_frame(&mut output) {
        if let EngineMessage::Outcome(last) = message {
            outcome = Some(last);
        }
    }
    engine.wait().unwrap();
    outcome
}
