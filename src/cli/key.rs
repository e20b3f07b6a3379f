//! `secateur key`: makes, lists and revokes keys, straight in the database.
//!
//! Whoever may open the database decides over it anyway, so this asks for no key; it is how the first one is made. It works
//! beside a running server too: the private database of a data folder that a server has locked is reached through the
//! server's own socket.

use clap::{Args, Subcommand};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::CliError;
use super::serve::StorageOptions;
use super::table::{Align, Table};
use crate::access::key::{self, KeyName, Lifetime, NewKey};
use crate::access::{Scope, Tenant};
use crate::database::Database;
use crate::id::KeyId;
use crate::server::Visit;
use crate::table::api_key::{self, ApiKey};

const PAGE: i64 = 500;

#[derive(Debug, Args)]
pub(super) struct KeyArguments {
    #[command(subcommand)]
    command: KeyCommand,
}

#[derive(Debug, Subcommand)]
enum KeyCommand {
    /// Make a key and print it; it is not shown again
    Create(CreateArguments),
    /// List the keys, without their secrets
    List(ListArguments),
    /// Revoke a key: the next request with it is refused
    Revoke(RevokeArguments),
}

#[derive(Debug, Args)]
struct CreateArguments {
    /// What people call it, such as the program that will use it
    #[arg(long)]
    name: KeyName,
    /// read: see and download; submit: also upload, submit, cancel, delete; admin: also make and revoke keys
    #[arg(long, default_value = "submit")]
    scope: Scope,
    /// To whom belongs what is made with the key; keys of other tenants do not see it
    #[arg(long, default_value = "default")]
    tenant: Tenant,
    /// Days that it is good for [default: for ever]
    #[arg(long, value_name = "DAYS")]
    expires_in: Option<Lifetime>,
    #[command(flatten)]
    storage: StorageOptions,
}

#[derive(Debug, Args)]
struct ListArguments {
    /// Only keys of one tenant
    #[arg(long)]
    tenant: Option<Tenant>,
    #[command(flatten)]
    storage: StorageOptions,
}

#[derive(Debug, Args)]
struct RevokeArguments {
    /// The key's id, `key_…`, as `secateur key list` shows it
    id: KeyId,
    #[command(flatten)]
    storage: StorageOptions,
}

pub(super) async fn key(arguments: KeyArguments) -> Result<(), CliError> {
    match arguments.command {
        KeyCommand::Create(CreateArguments { name, scope, tenant, expires_in, storage }) => {
            let new = NewKey { name, tenant, scope, lifetime: expires_in };
            on_database(storage, async |database| create(database, &new).await).await
        }
        KeyCommand::List(ListArguments { tenant, storage }) => {
            on_database(storage, async |database| list(database, tenant.as_ref()).await).await
        }
        KeyCommand::Revoke(RevokeArguments { id, storage }) => {
            on_database(storage, async |database| revoke(database, id).await).await
        }
    }
}

/// Runs something on the database, wherever it is and whether or not a server runs.
pub(super) async fn on_database(
    storage: StorageOptions,
    run: impl AsyncFnOnce(&Database) -> Result<(), CliError>,
) -> Result<(), CliError> {
    let visit = Visit::to(&storage.data_dir, storage.database_url().as_deref()).await?;
    let done = run(visit.database()).await;
    visit.end().await;
    done
}

async fn create(database: &Database, new: &NewKey) -> Result<(), CliError> {
    let is_first = !key::are_needed(database).await?;
    let (key, secret) = key::create(database, new).await?;
    eprintln!("{}: scope {}, tenant {}", key.id, key.scope, key.tenant);
    if is_first {
        eprintln!("it is the first key: from now on the server asks everyone for one");
    }
    super::print(secret.reveal());
    Ok(())
}

async fn list(database: &Database, tenant: Option<&Tenant>) -> Result<(), CliError> {
    let mut table =
        Table::new(&["id", "scope", "tenant", "last used", "state", "name"].map(|title| (title, Align::Left)));
    let mut before = None;
    loop {
        let keys = api_key::list(database.pool(), tenant, before, PAGE).await?;
        for key in &keys {
            table.row(cells(key));
        }
        match keys.last() {
            Some(last) if keys.len() as i64 == PAGE => before = Some(last.id),
            _ => break,
        }
    }
    super::print(&table.render());
    Ok(())
}

fn cells(key: &ApiKey) -> [String; 6] {
    let state = match (key.revoked_at, key.expires_at) {
        (Some(_), _) => "revoked".to_owned(),
        (None, Some(end)) if end <= OffsetDateTime::now_utc() => "expired".to_owned(),
        (None, Some(end)) => format!("until {}", end.date()),
        (None, None) => "in force".to_owned(),
    };
    let used = key.last_used_at.map_or_else(|| "never".to_owned(), to_the_second);
    [key.id.to_string(), key.scope.to_string(), key.tenant.to_string(), used, state, key.name.clone()]
}

pub(super) fn to_the_second(at: OffsetDateTime) -> String {
    let at = at.replace_nanosecond(0).expect("0 is a nanosecond of every second");
    at.format(&Rfc3339).expect("a time of the database is within RFC 3339's years")
}

async fn revoke(database: &Database, id: KeyId) -> Result<(), CliError> {
    if !api_key::revoke(database.pool(), id).await? {
        let error = CliError::new(format!("there is no key {id}"));
        return Err(error.hint("Run `secateur key list`, which shows the keys that there are."));
    }
    eprintln!("{id} is revoked");
    if !key::are_needed(database).await? {
        eprintln!("no key is left: a server that only this machine reaches asks nobody for one now");
    }
    Ok(())
}
