//! PostgreSQL's own programs, and what they are told of the database.
//!
//! A password never stands on a command line, which every user of the machine can read.

use std::process::Stdio;

use percent_encoding::percent_decode_str;
use secateur_postgres::ClientPrograms;
use sqlx::postgres::PgConnectOptions;
use tokio::process::Command;

use super::BackupError;

/// How a program of PostgreSQL's reaches the database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Access {
    /// After `--dbname=`.
    database: String,
    environment: Vec<(&'static str, String)>,
}

impl Access {
    /// By the URL that the operator gave; its password goes into the environment.
    pub(super) fn by_url(url: &str) -> Self {
        let (database, password) = without_password(url);
        Self { database, environment: password.into_iter().map(|password| ("PGPASSWORD", password)).collect() }
    }

    /// To a private database, through its socket.
    pub(super) fn by_socket(options: &PgConnectOptions) -> Self {
        let folder =
            options.get_socket().map_or_else(|| options.get_host().to_owned(), |path| path.display().to_string());
        Self {
            database: options.get_database().unwrap_or_default().to_owned(),
            environment: vec![
                ("PGHOST", folder),
                ("PGPORT", options.get_port().to_string()),
                ("PGUSER", options.get_username().to_owned()),
            ],
        }
    }

    fn command(&self, program: &std::path::Path) -> Command {
        let mut command = Command::new(program);
        command
            .arg(format!("--dbname={}", self.database))
            .arg("--no-password")
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .kill_on_drop(true);
        command
    }

    /// Dumps everything of a snapshot into a file.
    pub(super) async fn dump(
        &self,
        programs: &ClientPrograms,
        snapshot: &str,
        file: &std::path::Path,
    ) -> Result<(), BackupError> {
        let mut command = self.command(&programs.pg_dump());
        command.args(["--format=custom", "--no-owner", "--no-privileges"]);
        command.arg(format!("--snapshot={snapshot}")).arg("--file").arg(file);
        run("pg_dump", command).await
    }

    /// Restores a dump as a whole or not at all.
    pub(super) async fn restore(&self, programs: &ClientPrograms, file: &std::path::Path) -> Result<(), BackupError> {
        let mut command = self.command(&programs.pg_restore());
        command.args(["--no-owner", "--no-privileges", "--single-transaction", "--exit-on-error"]).arg(file);
        run("pg_restore", command).await
    }
}

async fn run(program: &'static str, mut command: Command) -> Result<(), BackupError> {
    let output = command.output().await.map_err(BackupError::io(program))?;
    match output.status.success() {
        true => Ok(()),
        false => {
            let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
            Err(BackupError::Program { program, said })
        }
    }
}

/// A URL without its password, and the password as it is.
fn without_password(url: &str) -> (String, Option<String>) {
    let Some((scheme, rest)) = url.split_once("://") else { return (url.to_owned(), None) };
    let authority = rest.split(['/', '?']).next().unwrap_or_default();
    let Some((user, host)) = authority.rsplit_once('@') else { return (url.to_owned(), None) };
    let Some((name, password)) = user.split_once(':') else { return (url.to_owned(), None) };
    let password = percent_decode_str(password).decode_utf8_lossy().into_owned();
    (format!("{scheme}://{name}@{host}{}", &rest[authority.len()..]), Some(password))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_leaves_the_url_and_nothing_else_does() {
        for (url, without, password) in [
            (
                "postgres://me:s%40c%3Aret@db:5432/pears?sslmode=require",
                "postgres://me@db:5432/pears?sslmode=require",
                Some("s@c:ret"),
            ),
            ("postgres://me@db/pears", "postgres://me@db/pears", None),
            ("postgresql://db/pears?user=me:you@there", "postgresql://db/pears?user=me:you@there", None),
            ("postgres://me:@db", "postgres://me@db", Some("")),
        ] {
            assert_eq!(without_password(url), (without.to_owned(), password.map(str::to_owned)), "{url}");
        }
        let access = Access::by_url("postgres://me:secret@db/pears");
        assert!(!access.database.contains("secret"));
        assert_eq!(access.environment, [("PGPASSWORD", "secret".to_owned())]);
    }
}
