//! An engine that was taken over: it may say what it likes, and what it says is not taken.

use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use reqwest::StatusCode;
use secateur::engine::{Confinement, EngineBinary};
use secateur_core::sandbox::Mode;
use secateur_core::stage::Work;
use secateur_core::wire::{EngineMessage, Outcome, write_frame};

use crate::harness::TestServer;

/// A program in the engine's place that says it has imported the model, and has written these files.
fn engine_that_writes(folder: &std::path::Path, files: &[&str]) -> EngineBinary {
    let work = Work::Import(());
    let outcome = Outcome::Done {
        result: work.sample(),
        files: files.iter().map(|&file| file.to_owned()).collect(),
        device: "cpu".to_owned(),
        computing_s: 0.1,
    };
    let (frame, path) = (folder.join("frame"), folder.join("engine"));
    write_frame(&mut std::fs::File::create(&frame).unwrap(), &EngineMessage::Outcome(outcome)).unwrap();
    let write: String = files.iter().map(|file| format!("echo '<script>alert(1)</script>' > {file}\n")).collect();
    std::fs::write(&path, format!("#!/bin/sh\n{write}cat '{}'\n", frame.display())).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    let confinement = Confinement { mode: Mode::Off, ..Confinement::default() };
    EngineBinary { path, environment: Vec::new(), confinement }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_can_bring_no_file_that_its_task_does_not_plan() {
    let folder = tempfile::tempdir().unwrap();
    let mut files: Vec<String> = Work::Import(()).files();
    files.push("report.html".to_owned());
    let files: Vec<&str> = files.iter().map(String::as_str).collect();
    let engine = engine_that_writes(folder.path(), &files);
    let server = TestServer::start_with(|options| {
        options.engine = Some(engine);
        options.slots = 1;
        options.poll = Duration::from_millis(20);
    })
    .await;
    let client = server.client();
    let id = client.submit().await;
    let job = loop {
        let job = client.get(&format!("/v1/jobs/{id}?wait=30")).await.expect(StatusCode::OK);
        if job["status"] != "queued" && job["status"] != "running" {
            break job;
        }
    };
    assert_eq!((&job["status"], &job["error"]["code"]), (&"failed".into(), &"internal".into()), "{job}");
    let detail = job["error"]["detail"].as_str().unwrap();
    assert!(detail.contains("other files than its task has"), "{detail}");
    let artifacts = client.get(&format!("/v1/jobs/{id}/artifacts")).await.expect(StatusCode::OK);
    let names: Vec<&str> =
        artifacts["items"].as_array().unwrap().iter().map(|item| item["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["log.txt"]);
}
