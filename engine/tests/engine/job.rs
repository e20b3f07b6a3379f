//! Drives the engine's binary as a worker does: one process per task, all tasks of a job in one folder.

use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};

use secateur_core::rejection::Rejection;
use secateur_core::report::Report;
use secateur_core::sandbox::Settings;
use secateur_core::spec::JobSpec;
use secateur_core::stage::import::{DATASET, MODEL};
use secateur_core::stage::{FinishedTask, JobView, Measurements, Source, Stage, TaskResult, TaskTime, Work, plan};
use secateur_core::wire::{
    Device, EngineMessage, Outcome, PROTOCOL, Progress, Reading, TaskRequest, read_frame, write_frame,
};
use tempfile::TempDir;

pub(crate) fn example(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples").join(name)
}

pub(crate) fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

/// A job and what its tasks have done so far.
pub(crate) struct Job {
    pub folder: TempDir,
    pub spec: JobSpec,
    has_dataset: bool,
    pub finished: Vec<FinishedTask>,
    /// What an earlier job has measured; the same candidates are taken for granted.
    pub known: Measurements,
    reused: Measurements,
    /// What every engine is confined by.
    pub sandbox: Settings,
}

impl Job {
    pub(crate) fn new(spec: &str, model: &Path, dataset: Option<&Path>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::copy(model, folder.path().join(MODEL)).unwrap();
        if let Some(dataset) = dataset {
            std::fs::copy(dataset, folder.path().join(DATASET)).unwrap();
        }
        let spec = JobSpec::from_json(spec).unwrap();
        Self {
            folder,
            spec,
            has_dataset: dataset.is_some(),
            finished: Vec::new(),
            known: Measurements::default(),
            reused: Measurements::default(),
            sandbox: Settings::default(),
        }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn request(&self, work: Work) -> TaskRequest {
        TaskRequest {
            protocol: PROTOCOL,
            spec: Some(self.spec.clone()),
            work,
            threads: 1,
            device: Device::Cpu,
            checkpoint_interval_s: None,
        }
    }

    /// Runs one task to its outcome.
    pub(crate) fn run(&self, work: Work) -> Outcome {
        let mut engine = Engine::confined(self.folder.path(), &[], self.sandbox);
        engine.send(&self.request(work));
        let outcome = engine.outcome();
        assert!(engine.wait().success(), "the exit code is 0 after an outcome");
        outcome
    }

    /// Runs the stages up to and including one, as far as they succeed.
    pub(crate) fn run_through(&mut self, last: Stage) -> Result<(), Box<Outcome>> {
        let mut next = Some(Stage::Import);
        while let Some(stage) = next {
            let view = JobView {
                spec: &self.spec,
                has_dataset: self.has_dataset,
                finished: &self.finished,
                reused: &self.reused,
            };
            let planned = plan(stage, view, &self.known).unwrap();
            self.reused.extend(planned.reused);
            for task in planned.tasks {
                for input in &task.inputs {
                    if let Source::Output { name, .. } = &input.source
                        && *name != input.name
                    {
                        std::fs::copy(self.path(name), self.path(&input.name)).unwrap();
                    }
                    if let Source::Prepared { .. } = &input.source {
                        continue;
                    }
                    assert!(self.path(&input.name).exists(), "{} reads {}", stage.as_str(), input.name);
                }
                match self.run(task.work) {
                    Outcome::Done { result, files, device, computing_s } => {
                        for name in &files {
                            assert!(self.path(name).exists(), "{} writes {name}", stage.as_str());
                        }
                        self.finished.push(FinishedTask {
                            stage,
                            index: task.index,
                            result,
                            files,
                            time: TaskTime { waiting: 0.0, running: computing_s, computing: computing_s },
                            device,
                        });
                    }
                    other => return Err(Box::new(other)),
                }
            }
            next = if stage == last { None } else { stage.next(&self.spec, self.has_dataset) };
        }
        Ok(())
    }

    pub(crate) fn report(&mut self) -> Report {
        self.run_through(Stage::Verify).unwrap_or_else(|outcome| panic!("{outcome:?}"));
        self.written_report()
    }

    /// The report of a job that has run to its end.
    pub(crate) fn written_report(&self) -> Report {
        match &self.finished.last().unwrap().result {
            TaskResult::Verify(result) => (*result.report).clone(),
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn rejection(&mut self) -> Rejection {
        match self.run_through(Stage::Verify).map_err(|outcome| *outcome) {
            Err(Outcome::Rejected { rejection }) => rejection,
            other => panic!("the job is not rejected: {other:?}"),
        }
    }
}

/// A running engine.
pub(crate) struct Engine {
    child: Child,
    input: Option<ChildStdin>,
    pub progress: Vec<Progress>,
    pub readings: Vec<Reading>,
    pub log: Vec<String>,
    /// Names of the files that were announced.
    pub checkpoints: Vec<String>,
}

impl Engine {
    pub(crate) fn start(folder: &Path, variables: &[(&str, &str)]) -> Self {
        Self::confined(folder, variables, Settings::default())
    }

    fn confined(folder: &Path, variables: &[(&str, &str)], sandbox: Settings) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_secateur-engine"))
            .args(["--sandbox", &serde_json::to_string(&sandbox).unwrap()])
            .current_dir(folder)
            .envs(variables.iter().copied())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let input = child.stdin.take();
        Self { child, input, progress: Vec::new(), readings: Vec::new(), log: Vec::new(), checkpoints: Vec::new() }
    }

    pub(crate) fn send(&mut self, request: &TaskRequest) {
        write_frame(self.input.as_mut().unwrap(), request).unwrap();
    }

    /// Reads messages up to the outcome, which must be the last thing on the pipe.
    pub(crate) fn outcome(&mut self) -> Outcome {
        let outcome = self.listen().expect("the engine ends with an outcome");
        assert_eq!(self.message().unwrap(), None, "nothing follows the outcome");
        outcome
    }

    /// Reads messages up to the outcome; `None` when the engine ends without one.
    pub(crate) fn listen(&mut self) -> Option<Outcome> {
        loop {
            match self.message().expect("the pipe holds nothing but frames")? {
                EngineMessage::Outcome(outcome) => return Some(outcome),
                EngineMessage::Progress(progress) => self.progress.push(progress),
                EngineMessage::Reading(reading) => self.readings.push(reading),
                EngineMessage::Log { message } => self.log.push(message),
                EngineMessage::Checkpoint { file } => self.checkpoints.push(file),
            }
        }
    }

    pub(crate) fn message(&mut self) -> io::Result<Option<EngineMessage>> {
        read_frame(self.child.stdout.as_mut().unwrap())
    }

    pub(crate) fn close_input(&mut self) {
        self.input = None;
    }

    pub(crate) fn wait(&mut self) -> ExitStatus {
        self.child.wait().unwrap()
    }

    /// All that it wrote to standard error; waits for its end.
    pub(crate) fn errors(&mut self) -> String {
        io::read_to_string(self.child.stderr.take().unwrap()).unwrap()
    }
}
