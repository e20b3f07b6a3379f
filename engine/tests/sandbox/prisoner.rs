//! The process that is confined, and whoever starts it.

use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, Write};
use std::net::TcpListener;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::{env, fs};

use rustix::process::{DumpableBehavior, Gid, Uid, set_dumpable_behavior};
use rustix::thread::{set_thread_groups, set_thread_res_gid, set_thread_res_uid};
use secateur_core::sandbox::{Ceilings, Mode, Profile, Sandbox, Settings};
use secateur_engine::process::sandbox::{Entrance, Needs};
use serde::{Deserialize, Serialize};
use tempfile::TempDir;

use crate::attempt;

const VARIABLE: &str = "SECATEUR_TEST_ERRAND";
/// Any user that is not root and owns nothing here.
const SOMEBODY: u32 = 12_345;
/// Of root's engine.
const ACCOUNT: u32 = 0x7100_0000;
/// The descriptor that a careless server leaves open.
pub(crate) const LEFT_OPEN: i32 = 50;

pub(crate) const MEMORY: u64 = 2 << 30;
pub(crate) const LONGEST_FILE: u64 = 1 << 20;

/// Who starts the engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Starter {
    /// A server that root runs; its engines get users of their own.
    Root,
    /// A server without privileges.
    OrdinaryUser,
}

/// What a prisoner is to do.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Errand {
    pub starter: Starter,
    pub settings: Settings,
    pub attempts: Vec<String>,
    /// A folder outside of its own, which anybody may read and write.
    pub outside: PathBuf,
    pub port: u16,
    /// Whether another thread runs before it enters.
    pub crowded: bool,
}

/// How an attempt ended: done, or the error's number and text.
pub(crate) type Ended = Result<String, (i32, String)>;

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Account {
    pub sandbox: Result<Sandbox, String>,
    pub ended: BTreeMap<String, Ended>,
}

impl Errand {
    pub(crate) fn from_environment() -> Option<Self> {
        let json = env::var(VARIABLE).ok()?;
        Some(serde_json::from_str(&json).expect("the test wrote it"))
    }
}

/// Enters the sandbox, makes the attempts, tells, and waits to be released.
pub(crate) fn run(errand: &Errand) -> ExitCode {
    if errand.starter == Starter::OrdinaryUser && rustix::process::geteuid().is_root() {
        become_somebody();
    }
    if errand.crowded {
        std::thread::spawn(std::thread::park);
    }
    let entered = Entrance::open(errand.settings).enter(Needs { profile: Profile::Import, gpu: false });
    let ended = errand.attempts.iter().map(|name| (name.clone(), attempt::make(name, errand))).collect();
    let account = Account { sandbox: entered.map_err(|error| error.to_string()), ended };
    let mut output = io::stdout();
    writeln!(output, "{}", serde_json::to_string(&account).expect("it is plain")).expect("the test reads");
    output.flush().expect("the test reads");
    // The test looks at the process from outside meanwhile.
    let _ = io::stdin().lock().read_line(&mut String::new());
    ExitCode::SUCCESS
}

fn become_somebody() {
    let (uid, gid) = (Uid::from_raw(SOMEBODY), Gid::from_raw(SOMEBODY));
    set_thread_groups(&[]).expect("root may");
    set_thread_res_gid(gid, gid, gid).expect("root may");
    set_thread_res_uid(uid, uid, uid).expect("root may");
    // As in a program that the user started itself.
    set_dumpable_behavior(DumpableBehavior::Dumpable).expect("everybody may");
}

/// A prisoner with everything around it that it might reach.
pub(crate) struct Prison {
    starter: Starter,
    pub folder: TempDir,
    pub outside: TempDir,
    listener: TcpListener,
    settings: Settings,
    crowded: bool,
}

/// A prisoner that has made its attempts and still lives.
pub(crate) struct Prisoner {
    pub child: Child,
    pub account: Account,
}

impl Prison {
    pub(crate) fn of(starter: Starter) -> Self {
        let (folder, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        for folder in [folder.path(), outside.path()] {
            fs::set_permissions(folder, fs::Permissions::from_mode(0o777)).unwrap();
        }
        fs::write(outside.path().join("secret"), "canary").unwrap();
        fs::set_permissions(outside.path().join("secret"), fs::Permissions::from_mode(0o666)).unwrap();
        fs::write(folder.path().join("model.pt"), "input").unwrap();
        let ceilings = Ceilings {
            memory_bytes: Some(MEMORY),
            cpu_seconds: Some(60),
            file_bytes: Some(LONGEST_FILE),
            threads: Some(64),
        };
        let is_root = rustix::process::geteuid().is_root();
        let account = (starter == Starter::Root && is_root).then_some(ACCOUNT);
        if let Some(account) = account {
            // As a worker does it.
            chown(folder.path(), None, Some(account)).unwrap();
            fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o1770)).unwrap();
        }
        let settings = Settings { mode: Mode::Auto, account, ceilings };
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        Self { starter, folder, outside, listener, settings, crowded: false }
    }

    /// Without any sandbox.
    pub(crate) fn open_doors(starter: Starter) -> Self {
        let mut prison = Self::of(starter);
        prison.settings = Settings { mode: Mode::Off, ..Settings::default() };
        prison
    }

    pub(crate) fn requiring(mut self) -> Self {
        self.settings.mode = Mode::Require;
        self
    }

    /// Where a library has started a thread before the sandbox is entered.
    pub(crate) fn crowded(mut self) -> Self {
        self.crowded = true;
        self
    }

    pub(crate) fn admit(&self, attempts: &[&str]) -> Prisoner {
        let errand = Errand {
            starter: self.starter,
            settings: self.settings,
            attempts: attempts.iter().map(|&name| name.to_owned()).collect(),
            outside: self.outside.path().to_owned(),
            port: self.listener.local_addr().unwrap().port(),
            crowded: self.crowded,
        };
        let open = fs::File::open(self.outside.path().join("secret")).unwrap();
        let descriptor = open.as_raw_fd();
        let mut command = Command::new(env::current_exe().unwrap());
        command
            .current_dir(self.folder.path())
            .env(VARIABLE, serde_json::to_string(&errand).unwrap())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        // SAFETY: between fork and exec it makes one system call and allocates nothing.
        unsafe {
            command.pre_exec(move || match libc::dup2(descriptor, LEFT_OPEN) {
                LEFT_OPEN => Ok(()),
                _ => Err(io::Error::last_os_error()),
            })
        };
        let mut child = command.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let account = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line:?}"));
        Prisoner { child, account }
    }

    /// What lies outside, as it was or as it is now.
    pub(crate) fn secret(&self) -> Vec<u8> {
        fs::read(self.outside.path().join("secret")).unwrap()
    }
}

impl Prisoner {
    pub(crate) fn ended(&self, name: &str) -> &Ended {
        &self.account.ended[name]
    }

    pub(crate) fn sandbox(&self) -> &Sandbox {
        self.account.sandbox.as_ref().expect("it entered the sandbox")
    }

    /// A line of `/proc/PID/status`.
    pub(crate) fn status(&self, field: &str) -> String {
        let status = fs::read_to_string(self.proc("status")).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
        line.unwrap_or_else(|| panic!("{field} in {status}")).trim().to_owned()
    }

    pub(crate) fn proc(&self, file: &str) -> PathBuf {
        Path::new("/proc").join(self.child.id().to_string()).join(file)
    }
}

impl Drop for Prisoner {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}

pub(crate) fn account_of_root() -> Option<u32> {
    rustix::process::geteuid().is_root().then_some(ACCOUNT)
}
