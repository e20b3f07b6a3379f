//! A real browser, and the servers of somebody who attacks through it. All of it is on the loopback interface.

use std::net::SocketAddr;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::State;
use axum::http::header::{ACCESS_CONTROL_ALLOW_ORIGIN, CONNECTION};
use axum::response::{Html, IntoResponse};
use axum::routing::{get, post};
use rustix::process::{Pid, Signal, kill_process_group};
use serde_json::Value;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::devtools::Tab;
use super::{PATIENCE, example};

/// A name that, to the browser, is on this machine, and that is no name of ours.
pub(crate) const EVIL: &str = "evil.test";

/// It takes a second or two where nothing else runs.
const TIME_TO_START: Duration = Duration::from_secs(30);
const STARTS: usize = 3;
/// What it says, in its profile.
const LOG: &str = "secateur-test.log";

/// Chromium with one page open; dropping it ends it and all its processes.
pub(crate) struct Chromium {
    child: Child,
    profile: tempfile::TempDir,
}

impl Chromium {
    /// # Panics
    /// When there is no Chromium: `scripts/setup-chromium.sh` installs one.
    pub(crate) fn open(url: &str) -> Self {
        let profile = tempfile::tempdir().unwrap();
        let log = std::fs::File::create(profile.path().join(LOG)).unwrap();
        let mut command = Command::new(binary());
        command
            .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-dev-shm-usage"])
            .args(["--no-first-run", "--no-proxy-server", "--disable-background-networking"])
            .args(["--disable-component-update", "--disable-sync", "--disable-default-apps"])
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .arg(format!("--host-resolver-rules=MAP {EVIL} 127.0.0.1"))
            .arg("--remote-debugging-port=0")
            .arg(url)
            // Libraries for the engine are none for the browser.
            .env_remove("LD_LIBRARY_PATH")
            .env("HOME", profile.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .process_group(0);
        Self { child: command.spawn().expect("chromium starts"), profile }
    }
}

impl Chromium {
    /// The browser with an empty tab that a test drives. A browser that hangs at its start is not what is tested: it is started again.
    pub(crate) async fn with_tab() -> (Self, Tab) {
        for _ in 0..STARTS {
            let mut chromium = Self::open("about:blank");
            if let Some(port) = chromium.port().await {
                return (chromium, Tab::open(port).await);
            }
            eprintln!("chromium ({:?}) told no port; it says:\n{}", chromium.child.try_wait(), chromium.says());
        }
        panic!("chromium did not start {STARTS} times");
    }

    /// Where it is driven; `None` when it does not tell that in time.
    async fn port(&mut self) -> Option<u16> {
        let file = self.profile.path().join("DevToolsActivePort");
        let started = Instant::now();
        while started.elapsed() < TIME_TO_START {
            let told = std::fs::read_to_string(&file).ok();
            if let Some(port) = told.and_then(|text| text.lines().next()?.parse().ok()) {
                return Some(port);
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        None
    }

    fn says(&self) -> String {
        std::fs::read_to_string(self.profile.path().join(LOG)).unwrap_or_default()
    }
}

impl Drop for Chromium {
    fn drop(&mut self) {
        let _ = kill_process_group(Pid::from_child(&self.child), Signal::KILL);
        let _ = self.child.wait();
    }
}

fn binary() -> PathBuf {
    let named = std::env::var_os("SECATEUR_CHROMIUM").map(PathBuf::from);
    let folders = std::env::var_os("PATH").unwrap_or_default();
    let mut found = std::env::split_paths(&folders)
        .flat_map(|folder| ["chromium", "chromium-browser", "google-chrome"].map(|name| folder.join(name)))
        .filter(|path| path.is_file());
    named.or_else(|| found.next()).expect("there is no chromium: run scripts/setup-chromium.sh, as `make test` does")
}

/// The attacker's own server: it serves the page, and hears from it.
pub(crate) struct Attacker {
    address: SocketAddr,
    state: Arc<AttackerState>,
    heard: mpsc::UnboundedReceiver<Heard>,
    _serving: JoinSet<()>,
}

#[derive(Debug)]
enum Heard {
    /// The page is loaded; now its name shall lead elsewhere.
    Rebind,
    Report(Value),
}

struct AttackerState {
    page: Mutex<String>,
    sender: mpsc::UnboundedSender<Heard>,
}

impl Attacker {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (sender, heard) = mpsc::unbounded_channel();
        let state = Arc::new(AttackerState { page: Mutex::default(), sender });
        let router = Router::new()
            .route("/", get(async |State(state): State<Arc<AttackerState>>| Html(state.page.lock().unwrap().clone())))
            .route("/model.pt", get(async || std::fs::read(example("vgg-digits.pt")).unwrap()))
            .route("/rebind", post(async |State(state): State<Arc<AttackerState>>| state.hear(Heard::Rebind)))
            .route(
                "/report",
                post(async |State(state): State<Arc<AttackerState>>, body: String| {
                    state.hear(Heard::Report(serde_json::from_str(&body).unwrap()))
                }),
            )
            .layer(axum::middleware::map_response(async |mut response: axum::response::Response| {
                response.headers_mut().insert(ACCESS_CONTROL_ALLOW_ORIGIN, "*".parse().unwrap());
                response.headers_mut().insert(CONNECTION, "close".parse().unwrap());
                response
            }))
            .with_state(state.clone());
        let mut serving = JoinSet::new();
        serving.spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { address, state, heard, _serving: serving }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// What the page is from now on.
    pub(crate) fn show(&self, page: String) {
        *self.state.page.lock().unwrap() = page;
    }

    /// What the page reports of itself; `name` leads to `target` when it asks for that.
    pub(crate) async fn report(&mut self, mut name: Option<(Relay, SocketAddr)>) -> Value {
        loop {
            let heard = tokio::time::timeout(PATIENCE, self.heard.recv()).await;
            match heard.expect("the page reports in time").expect("the attacker's server runs") {
                Heard::Report(report) => return report,
                Heard::Rebind => {
                    let (relay, target) = name.as_mut().expect("only a page with a name of its own rebinds");
                    relay.lead_to(*target);
                }
            }
        }
    }
}

impl AttackerState {
    fn hear(&self, heard: Heard) -> impl IntoResponse + use<> {
        // A page of a test that has ended is heard by nobody.
        let _ = self.sender.send(heard);
    }
}

/// A name and port that lead first to one server and then to another, as with DNS rebinding.
pub(crate) struct Relay {
    port: u16,
    target: Arc<Mutex<SocketAddr>>,
    connections: Arc<Mutex<JoinSet<()>>>,
    _accepting: JoinSet<()>,
}

impl Relay {
    pub(crate) async fn to(target: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let target = Arc::new(Mutex::new(target));
        let connections = Arc::new(Mutex::new(JoinSet::new()));
        let mut accepting = JoinSet::new();
        accepting.spawn({
            let (target, connections) = (target.clone(), connections.clone());
            async move {
                while let Ok((mut near, _)) = listener.accept().await {
                    let target = *target.lock().unwrap();
                    connections.lock().unwrap().spawn(async move {
                        let mut far = TcpStream::connect(target).await.unwrap();
                        let _ = tokio::io::copy_bidirectional(&mut near, &mut far).await;
                    });
                }
            }
        });
        Self { port, target, connections, _accepting: accepting }
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    fn lead_to(&mut self, target: SocketAddr) {
        *self.target.lock().unwrap() = target;
        self.connections.lock().unwrap().abort_all();
    }
}
