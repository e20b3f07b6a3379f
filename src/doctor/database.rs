//! The database: the programs of a private one, whether it answers, its version, its schema, its clock.

use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

use secateur_postgres::PrivatePostgres;
use sqlx::postgres::PgConnectOptions;
use time::OffsetDateTime;

use super::{Finding, Installation};
use crate::database::{Database, DatabaseError};
use crate::server::DataFolder;
use crate::table;

const PATIENCE: Duration = Duration::from_secs(10);
/// PostgreSQL 14.
const OLDEST_VERSION: i32 = 140_000;
const LARGEST_SKEW: Duration = Duration::from_secs(5);

pub(super) async fn examine(installation: &Installation) -> Vec<Finding> {
    if let Some(url) = &installation.database_url {
        return match PgConnectOptions::from_str(url) {
            Ok(options) => connected(options).await,
            Err(error) => {
                let hint = "Write DATABASE_URL as postgres://user:password@host:5432/database.";
                vec![Finding::problem("database", format!("DATABASE_URL is not valid: {error}"), hint)]
            }
        };
    }
    let mut findings = vec![programs(&installation.data_folder)];
    match DataFolder::is_in_use(&installation.data_folder) {
        Ok(true) => match PrivatePostgres::options_of_running(&installation.data_folder) {
            Ok(options) => findings.extend(connected(options).await),
            Err(error) => {
                let hint =
                    "A server has the data folder, and its database does not run yet or not any more: look at its log.";
                findings.push(Finding::problem("database", error.to_string(), hint));
            }
        },
        Ok(false) => {
            let says = "no server runs on the data folder; the private database is started by the next one";
            findings.push(Finding::ok("database", says));
        }
        Err(error) => {
            let says = format!("the data folder {}: {error}", installation.data_folder.display());
            findings.push(Finding::problem("database", says, "Run this as the user that runs the server."));
        }
    }
    findings
}

fn programs(data_folder: &Path) -> Finding {
    match PrivatePostgres::programs_for(data_folder) {
        Ok(programs) => {
            let says = format!("PostgreSQL {} in {}", programs.version, programs.folder.display());
            match programs.folder.join("pg_dump").is_file() {
                true => Finding::ok("postgres programs", says),
                false => Finding::warning(
                    "postgres programs",
                    format!("{says}, without pg_dump"),
                    "Install PostgreSQL's client programs of the same version, or `secateur backup` will not work.",
                ),
            }
        }
        Err(error) => {
            Finding::problem("postgres programs", error.to_string(), error.hint().unwrap_or("See the message."))
        }
    }
}

async fn connected(options: PgConnectOptions) -> Vec<Finding> {
    let database = Database::new(options, 1, PATIENCE);
    let before = OffsetDateTime::now_utc();
    let standing = table::server::standing(database.pool()).await;
    let after = OffsetDateTime::now_utc();
    let findings = match standing {
        Err(error) => {
            let hint = "Is DATABASE_URL right, and does the database run and take connections from here?";
            vec![Finding::problem("database", error.to_string(), hint)]
        }
        Ok(standing) => vec![
            version(&standing),
            schema(database.check().await),
            // Halfway is where the database looked at its clock, give or take half of the way.
            clock(standing.now - (before + (after - before) / 2)),
        ],
    };
    database.close().await;
    findings
}

fn version(standing: &table::server::Standing) -> Finding {
    let says = format!("it answers, and is PostgreSQL {}", standing.version);
    match standing.version_number < OLDEST_VERSION {
        true => Finding::problem("database", says, "PostgreSQL 14 is the oldest that works."),
        false => Finding::ok("database", says),
    }
}

fn schema(check: Result<(), DatabaseError>) -> Finding {
    match check {
        Ok(()) => Finding::ok("schema", "every migration has been applied"),
        Err(error @ DatabaseError::NotMigrated { .. }) => {
            let hint = "The next `secateur serve` does it too; workers of this version wait for it.";
            Finding::warning("schema", error.to_string(), hint)
        }
        Err(error) => {
            let hint = "An empty database gets its schema from `secateur migrate` or the next `secateur serve`.";
            Finding::warning("schema", error.to_string(), hint)
        }
    }
}

fn clock(skew: time::Duration) -> Finding {
    let says = format!("the database's is {:+.1} s from this machine's", skew.as_seconds_f64());
    match skew.unsigned_abs() > LARGEST_SKEW {
        true => Finding::warning(
            "clock",
            says,
            "Set both by NTP: leases are measured on the database's clock alone, but logs and file times will not match.",
        ),
        false => Finding::ok("clock", says),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Verdict;
    use super::*;

    #[test]
    fn a_clock_that_is_off_either_way_is_a_warning() {
        let verdict = |seconds| clock(time::Duration::seconds(seconds)).verdict;
        assert_eq!([0, 60, -60].map(verdict), [Verdict::Ok, Verdict::Warning, Verdict::Warning]);
    }

    #[test]
    fn an_old_database_is_a_problem() {
        let standing = |version_number| table::server::Standing {
            version: "x".to_owned(),
            version_number,
            now: OffsetDateTime::UNIX_EPOCH,
        };
        assert_eq!(version(&standing(130_011)).verdict, Verdict::Problem);
        assert_eq!(version(&standing(180_001)).verdict, Verdict::Ok);
    }
}
