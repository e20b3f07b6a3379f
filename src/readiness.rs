//! Whether a server can work: each thing that it needs, with its state in words.
//!
//! Asked by `GET /readyz`, so by load balancers every few seconds: nothing here takes longer than [`PATIENCE`], and nothing of the server's
//! insides is told but fixed sentences. Whoever is not ready still answers; what is open goes on.

use std::time::Duration;

use serde::Serialize;
use tokio_util::sync::CancellationToken;
use utoipa::ToSchema;

use crate::blob::{BlobStore, Disk, DiskSpace};
use crate::database::{Database, DatabaseError, Notifications};

/// For each of the checks that wait for something.
const PATIENCE: Duration = Duration::from_secs(5);

/// What was learnt of the engine when the server started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EngineStanding {
    /// The server has no slots: workers elsewhere have engines.
    Elsewhere,
    Starts,
    /// It was found, and ended without the answer that was expected.
    DoesNotStart,
}

/// What a server needs, in the order in which a lack is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Need {
    /// That it is not about to stop.
    Service,
    Database,
    Disk,
    Blobs,
    Engine,
    Notifications,
}

/// One thing that a server needs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = ReadinessCheck)]
pub struct Check {
    pub name: Need,
    pub ok: bool,
    /// In words.
    pub state: &'static str,
}

/// What the checks look at.
#[derive(Debug, Clone, Copy)]
pub struct Sight<'a> {
    pub database: &'a Database,
    pub blobs: &'a BlobStore,
    pub disk: &'a Disk,
    pub notifications: &'a Notifications,
    pub engine: EngineStanding,
    pub draining: &'a CancellationToken,
}

/// The outcome of all checks.
#[derive(Debug, Clone)]
pub struct Readiness {
    pub checks: Vec<Check>,
    /// `None` where it cannot be read.
    pub disk: Option<DiskSpace>,
}

impl Readiness {
    /// Looks at everything.
    pub async fn of(sight: Sight<'_>) -> Self {
        let database = tokio::time::timeout(PATIENCE, sight.database.check());
        let blobs = tokio::time::timeout(PATIENCE, sight.blobs.check_writable());
        let (database, blobs) = tokio::join!(database, blobs);
        let disk = sight.disk.space().ok();
        let checks = vec![
            service(sight.draining.is_cancelled()),
            of_database(database.ok()),
            of_disk(disk),
            of_blobs(blobs.is_ok_and(|written| {
                written.inspect_err(|error| tracing::warn!(%error, "blobs cannot be written")).is_ok()
            })),
            engine(sight.engine),
            notifications(sight.notifications.are_heard()),
        ];
        Self { checks, disk }
    }

    /// The first thing that is lacking.
    pub fn lack(&self) -> Option<&Check> {
        self.checks.iter().find(|check| !check.ok)
    }
}

fn service(is_draining: bool) -> Check {
    match is_draining {
        true => Check { name: Need::Service, ok: false, state: "The server is about to stop." },
        false => Check { name: Need::Service, ok: true, state: "The server takes requests." },
    }
}

fn of_database(answer: Option<Result<(), DatabaseError>>) -> Check {
    let (ok, state) = match answer {
        Some(Ok(())) => (true, "The database answers and has every migration."),
        Some(Err(DatabaseError::NotMigrated { .. })) => (false, "The database's schema is not up to date."),
        Some(Err(error)) => {
            tracing::warn!(%error, "the database does not answer");
            (false, "The database cannot be reached; try again soon.")
        }
        None => (false, "The database does not answer in time; try again soon."),
    };
    Check { name: Need::Database, ok, state }
}

fn of_disk(space: Option<DiskSpace>) -> Check {
    let (ok, state) = match space {
        Some(space) if space.is_full() => (false, "The disk has less free than is kept in reserve."),
        Some(_) => (true, "The disk has more free than is kept in reserve."),
        None => (false, "The disk cannot be looked at."),
    };
    Check { name: Need::Disk, ok, state }
}

fn of_blobs(are_written: bool) -> Check {
    match are_written {
        true => Check { name: Need::Blobs, ok: true, state: "Blobs can be written." },
        false => Check { name: Need::Blobs, ok: false, state: "The blob store does not work; try again soon." },
    }
}

fn engine(standing: EngineStanding) -> Check {
    let (ok, state) = match standing {
        EngineStanding::Elsewhere => (true, "This server runs no engine; workers elsewhere do."),
        EngineStanding::Starts => (true, "The engine started when the server did."),
        EngineStanding::DoesNotStart => (false, "The engine did not start when the server did; its log says why."),
    };
    Check { name: Need::Engine, ok, state }
}

fn notifications(are_heard: bool) -> Check {
    match are_heard {
        true => Check { name: Need::Notifications, ok: true, state: "The server hears the database's notifications." },
        false => Check {
            name: Need::Notifications,
            ok: false,
            state: "The server does not hear the database's notifications; changes are seen late.",
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_lack_is_told_and_a_server_without_engines_lacks_none() {
        let all = |draining, engine_standing, heard| Readiness {
            checks: vec![
                service(draining),
                of_database(Some(Ok(()))),
                of_disk(Some(DiskSpace { free_bytes: 2, reserve_bytes: 1 })),
                of_blobs(true),
                engine(engine_standing),
                notifications(heard),
            ],
            disk: None,
        };
        let lack = |draining, engine, heard| all(draining, engine, heard).lack().map(|check| check.name);
        assert_eq!(lack(false, EngineStanding::Elsewhere, true), None);
        assert_eq!(lack(false, EngineStanding::Starts, true), None);
        assert_eq!(lack(false, EngineStanding::DoesNotStart, true), Some(Need::Engine));
        assert_eq!(lack(false, EngineStanding::Starts, false), Some(Need::Notifications));
        assert_eq!(lack(true, EngineStanding::DoesNotStart, false), Some(Need::Service));
    }

    #[test]
    fn an_old_schema_and_a_database_that_is_away_are_told_apart() {
        let old = of_database(Some(Err(DatabaseError::NotMigrated { applied: 1, newest: 2 })));
        let away = of_database(Some(Err(DatabaseError::Away("gone".to_owned()))));
        assert!(!old.ok && old.state.contains("schema") && !away.ok && away.state.contains("reached"));
        assert!(of_database(None).state.contains("in time"));
    }
}
