//! Postgres that is away.

use std::path::{Path, PathBuf};

use rustix::process::{Pid, Signal, kill_process};

/// Ends Postgres at once and keeps it from starting as long as this lives: the server's supervisor tries in vain.
pub(crate) struct Away {
    control: PathBuf,
}

impl Away {
    pub(crate) fn new(data: &Path) -> Self {
        let cluster = data.join("postgres/cluster");
        let control = cluster.join("global/pg_control");
        std::fs::rename(&control, control.with_extension("away")).unwrap();
        let pid_file = std::fs::read_to_string(cluster.join("postmaster.pid")).unwrap();
        let pid = Pid::from_raw(pid_file.lines().next().unwrap().parse().unwrap()).unwrap();
        kill_process(pid, Signal::QUIT).unwrap();
        Self { control }
    }
}

impl Drop for Away {
    fn drop(&mut self) {
        std::fs::rename(self.control.with_extension("away"), &self.control).unwrap();
    }
}
