//! `secateur serve` as a process: private Postgres, signals, crashes.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use reqwest::StatusCode;
use rustix::process::{Pid, Signal, kill_process};
use secateur_postgres::PrivatePostgres;
use sqlx::postgres::PgConnection;
use sqlx::{Connection, Executor};

use super::{folder, secateur, stderr};
use crate::harness::{Client, eventually};

/// A server in a process of its own; dropping it kills the process the hard way.
pub(crate) struct Serving {
    child: Child,
    pub(crate) client: Client,
}

impl Serving {
    fn start(data: &Path) -> Self {
        Self::start_by(serve(data))
    }

    pub(crate) fn start_by(mut serve: Command) -> Self {
        let mut child = serve.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert!(line.starts_with("http://127.0.0.1:"), "{line:?}");
        Self { child, client: Client::new(line.trim().to_owned()) }
    }

    /// Ends the process as a power cut would.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(super) fn serve(data: &Path) -> Command {
    let mut command = secateur();
    command.args(["serve", "--listen", "127.0.0.1:0", "--slots", "0", "--reserve-bytes", "0", "--data-dir"]).arg(data);
    command
}

fn postgres_pid(data: &Path) -> Option<u32> {
    let pid_file = std::fs::read_to_string(data.join("postgres/cluster/postmaster.pid")).ok()?;
    pid_file.lines().next()?.parse().ok()
}

fn runs(pid: u32) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    !status.is_empty() && !status.contains(") Z ")
}

#[tokio::test(flavor = "multi_thread")]
async fn sigterm_ends_server_and_postgres_the_clean_way() {
    let folder = folder();
    let data = folder.path().join("data");
    let mut serving = Serving::start(&data);
    let postgres = postgres_pid(&data).unwrap();
    serving.signal(Signal::TERM);
    assert_eq!(serving.child.wait().unwrap().code(), Some(0));
    assert!(!runs(postgres));
    assert_eq!(postgres_pid(&data), None, "postgres removed its pid file");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_was_killed_takes_postgres_along_and_starts_again_with_its_data() {
    let folder = folder();
    let data = folder.path().join("data");
    let serving = Serving::start(&data);
    let id = serving.client.submit().await;
    let postgres = postgres_pid(&data).unwrap();
    drop(serving);
    eventually("postgres ends with the server", || async { (!runs(postgres)).then_some(()) }).await;

    let serving = Serving::start(&data);
    let job = serving.client.get(&format!("/v1/jobs/{id}")).await.expect(StatusCode::OK);
    assert_eq!(job["status"], "queued");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stale_pid_file_with_somebody_elses_process_id_does_not_keep_postgres_from_starting() {
    let folder = folder();
    let data = folder.path().join("data");
    let mut serving = Serving::start(&data);
    let pid_file = data.join("postgres/cluster/postmaster.pid");
    let stale = std::fs::read_to_string(&pid_file).unwrap();
    serving.signal(Signal::TERM);
    serving.child.wait().unwrap();
    let own = std::process::id().to_string();
    let rest = stale.split_once('\n').unwrap().1;
    std::fs::write(&pid_file, format!("{own}\n{rest}")).unwrap();
    let serving = Serving::start(&data);
    assert_eq!(serving.client.get("/readyz").await.status, StatusCode::OK);
}

/// Kills a server and its Postgres the hard way, while a query keeps a process of Postgres busy that does not look whether the others live.
async fn kill_both_in_a_query(serving: Serving, data: &Path) {
    let options = PrivatePostgres::options_of_running(data).unwrap();
    let mut busy = PgConnection::connect_with(&options).await.unwrap();
    let query = tokio::spawn(async move { busy.execute("do $$ begin loop end loop; end $$").await.map(|_| ()) });
    let mut looking = PgConnection::connect_with(&options).await.unwrap();
    for started in 0.. {
        let running = "select count(*) from pg_stat_activity where query like 'do %' and state = 'active'";
        let running: i64 = sqlx::query_scalar(running).fetch_one(&mut looking).await.unwrap();
        if running == 1 {
            break;
        }
        assert!(started < 10_000, "the query does not start");
    }
    let postgres = Pid::from_raw(postgres_pid(data).unwrap() as i32).unwrap();
    // It shall not hear of the server's end, which would have it end its processes.
    kill_process(postgres, Signal::STOP).unwrap();
    drop(serving);
    kill_process(postgres, Signal::KILL).unwrap();
    query.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_and_its_postgres_that_were_killed_in_the_middle_of_a_query_start_again_at_once() {
    let folder = folder();
    let data = folder.path().join("data");
    let serving = Serving::start(&data);
    let id = serving.client.submit().await;
    kill_both_in_a_query(serving, &data).await;
    let started = Instant::now();
    let serving = Serving::start(&data);
    assert!(started.elapsed() < Duration::from_secs(25), "nobody waits for a process that would not end by itself");
    let job = serving.client.get(&format!("/v1/jobs/{id}")).await.expect(StatusCode::OK);
    assert_eq!(job["status"], "queued");
}

/// As in a container, whose root may not look into the processes of other users.
#[tokio::test(flavor = "multi_thread")]
async fn a_root_without_insight_into_other_processes_takes_over_what_a_killed_server_left() {
    let folder = folder();
    let data = folder.path().join("data");
    kill_both_in_a_query(Serving::start(&data), &data).await;
    let mut command = serve(&data);
    if rustix::process::geteuid().is_root() {
        let mut confined = Command::new("setpriv");
        confined.args(["--bounding-set", "-sys_ptrace"]).arg(command.get_program()).args(command.get_args());
        confined.env_remove("DATABASE_URL").env_remove("SECATEUR_BLOBS");
        command = confined;
    }
    let serving = Serving::start_by(command);
    assert_eq!(serving.client.get("/readyz").await.status, StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_data_folder_takes_one_server_at_a_time() {
    let folder = folder();
    let data = folder.path().join("data");
    let _serving = Serving::start(&data);
    let second = serve(&data).output().unwrap();
    assert_eq!(second.status.code(), Some(1));
    assert!(stderr(&second).contains("used by another server") && stderr(&second).contains("hint: "));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_path_too_long_for_a_socket_is_no_obstacle() {
    let folder = folder();
    let data = folder.path().join("d".repeat(100)).join("data");
    let serving = Serving::start(&data);
    assert_eq!(serving.client.get("/readyz").await.status, StatusCode::OK);
}
