//! How engines are confined, as a server sees it and says it.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use reqwest::StatusCode;
use rustix::process::{Pid, Signal, geteuid, kill_process};
use secateur::queue::MAX_LOSSES;
use secateur_core::sandbox::Mode;

use super::{quick_spec, server_with, submit, wait_for_end, wait_for_stage};
use crate::harness::{TestServer, eventually};
use crate::with_engine::{engine, engine_with_fault};

/// The engines that this process has started and that have entered their sandbox, so that nothing of them changes any more.
fn engines() -> Vec<PathBuf> {
    let own = format!("PPid:\t{}\n", std::process::id());
    let is_engine = |status: &str| {
        status.starts_with("Name:\tsecateur-engine") && status.contains(&own) && status.contains("Seccomp:\t2")
    };
    let processes = fs::read_dir("/proc").unwrap().flatten().map(|entry| entry.path());
    processes.filter(|path| fs::read_to_string(path.join("status")).is_ok_and(|status| is_engine(&status))).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_whole_job_runs_in_the_sandbox_and_its_report_names_the_layers() {
    let mut confined = engine();
    confined.confinement.mode = Mode::Require;
    let server = server_with(confined).await;
    let client = server.client();
    let ready = client.get("/readyz").await.expect(StatusCode::OK);
    assert_eq!((&ready["status"], &ready["sandbox"]["mode"]), (&"ready".into(), &"require".into()));

    let path = submit(&client, "vgg-digits.pt", &quick_spec(1)).await;
    let job = wait_for_end(&client, &path).await;
    assert_eq!(job["status"], "succeeded", "{job}");
    let report = client.get(&format!("{path}/artifacts/report.json")).await.expect(StatusCode::OK);
    assert_eq!(report["sandbox"], ready["sandbox"], "what was found at the start is what the job ran in");
    let layers: Vec<&str> =
        report["sandbox"]["layers"].as_array().unwrap().iter().map(|layer| layer.as_str().unwrap()).collect();
    assert!(layers.contains(&"seccomp") && layers.iter().any(|layer| layer.starts_with("landlock-")), "{layers:?}");
    assert_eq!(layers.contains(&"uid"), geteuid().is_root(), "{layers:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_with_the_sandbox_off_says_so() {
    let mut free = engine();
    free.confinement.mode = Mode::Off;
    let server = server_with(free).await;
    let ready = server.client().get("/readyz").await.expect(StatusCode::OK);
    assert_eq!(ready["sandbox"], serde_json::json!({"mode": "off", "layers": [], "missing": []}));
}

#[tokio::test(flavor = "multi_thread")]
async fn two_slots_are_two_users_and_neither_can_enter_the_others_folder() {
    if !geteuid().is_root() {
        return;
    }
    let server = TestServer::start_with(|options| {
        options.engine = Some(engine_with_fault("hang:import"));
        options.slots = 2;
    })
    .await;
    let client = server.client();
    for seed in 1..=2 {
        let mut spec = quick_spec(1);
        spec["seed"] = seed.into();
        submit(&client, "vgg-digits.pt", &spec).await;
    }
    let engines = eventually("two engines hang", || async { Some(engines()).filter(|found| found.len() == 2) }).await;
    let users: Vec<String> = engines
        .iter()
        .map(|process| {
            let status = fs::read_to_string(process.join("status")).unwrap();
            status.lines().find_map(|line| line.strip_prefix("Uid:\t")).unwrap().to_owned()
        })
        .collect();
    assert_ne!(users[0], users[1]);
    for (process, user) in engines.iter().zip(users) {
        let first: u32 = user.split('\t').next().unwrap().parse().unwrap();
        assert!(first >= 0x7000_0000, "{user}");
        let folder = fs::metadata(process.join("cwd")).unwrap();
        assert_eq!((folder.uid(), folder.gid(), folder.mode() & 0o7777), (0, first, 0o1770));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_that_somebody_kills_is_tried_again_and_not_called_out_of_memory() {
    let server = server_with(engine_with_fault("hang:graph")).await;
    let client = server.client();
    let path = submit(&client, "vgg-digits.pt", &quick_spec(1)).await;
    wait_for_stage(&client, &path, "graph").await;
    let mut killed: Vec<PathBuf> = Vec::new();
    while killed.len() < MAX_LOSSES as usize {
        let engine = eventually("an engine hangs", || async {
            let job = client.get(&path).await.expect(StatusCode::OK);
            assert_eq!(job["stage"], "graph", "{job}");
            engines().into_iter().find(|engine| !killed.contains(engine))
        })
        .await;
        let id = engine.file_name().unwrap().to_str().unwrap().parse().unwrap();
        kill_process(Pid::from_raw(id).unwrap(), Signal::KILL).unwrap();
        killed.push(engine);
    }
    let job = wait_for_end(&client, &path).await;
    assert_eq!((&job["status"], &job["error"]["code"]), (&"failed".into(), &"internal".into()), "{job}");
    assert!(job["error"]["detail"].as_str().unwrap().contains("killed from outside"), "{job}");
}
