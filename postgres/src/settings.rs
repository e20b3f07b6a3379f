//! What a server may be told; everything else of it is fixed, or stands in the cluster's own configuration.

/// What a server is started with. The default is for data that must not be lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// Whether what was committed is still there after the machine has lost power. Without it nothing waits for the disk, which
    /// is for data that goes with the run, such as that of tests.
    pub durable: bool,
    /// How many connections it takes at once; `None` is as the cluster's configuration says.
    pub max_connections: Option<u32>,
}

impl Default for Settings {
    fn default() -> Self {
        Self { durable: true, max_connections: None }
    }
}

impl Settings {
    /// As PostgreSQL names them, `name=value`.
    pub(crate) fn of_postgres(self) -> Vec<String> {
        let mut settings = match self.durable {
            true => vec!["fsync=on".to_owned()],
            false => ["fsync=off", "full_page_writes=off", "synchronous_commit=off"].map(str::to_owned).to_vec(),
        };
        settings.extend(self.max_connections.map(|connections| format!("max_connections={connections}")));
        settings
    }
}
