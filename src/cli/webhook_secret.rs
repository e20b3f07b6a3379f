//! `secateur webhook-secret`: makes, lists and deletes what webhooks are signed with, straight in the database as `secateur key` does.

use std::time::Duration;

use clap::{Args, Subcommand};

use super::CliError;
use super::key::{on_database, to_the_second};
use super::serve::StorageOptions;
use super::table::{Align, Table};
use crate::access::Tenant;
use crate::database::Database;
use crate::id::WebhookSecretId;
use crate::table::webhook_secret::{self, WebhookSecret};
use crate::webhook::rotation::{self, GRACE_HOURS, LONGEST_GRACE_HOURS, MOST, Rotation};

#[derive(Debug, Args)]
pub(super) struct WebhookSecretArguments {
    #[command(subcommand)]
    command: WebhookSecretCommand,
}

#[derive(Debug, Subcommand)]
enum WebhookSecretCommand {
    /// Make a secret that signs from now on and print it; it is not shown again
    Create(CreateArguments),
    /// List the secrets in force, without the secrets themselves
    List(ListArguments),
    /// Delete a secret: nothing is signed with it any more
    Delete(DeleteArguments),
}

#[derive(Debug, Args)]
struct CreateArguments {
    /// Whose webhooks it signs
    #[arg(long, default_value = "default")]
    tenant: Tenant,
    /// Hours that the secrets before it sign beside it
    #[arg(long, value_name = "HOURS", default_value_t = GRACE_HOURS, value_parser = clap::value_parser!(u32).range(..=i64::from(LONGEST_GRACE_HOURS)))]
    grace: u32,
    #[command(flatten)]
    storage: StorageOptions,
}

#[derive(Debug, Args)]
struct ListArguments {
    /// Only secrets of one tenant
    #[arg(long)]
    tenant: Option<Tenant>,
    #[command(flatten)]
    storage: StorageOptions,
}

#[derive(Debug, Args)]
struct DeleteArguments {
    /// The secret's id, `whs_…`, as `secateur webhook-secret list` shows it
    id: WebhookSecretId,
    #[command(flatten)]
    storage: StorageOptions,
}

pub(super) async fn webhook_secret(arguments: WebhookSecretArguments) -> Result<(), CliError> {
    match arguments.command {
        WebhookSecretCommand::Create(CreateArguments { tenant, grace, storage }) => {
            on_database(storage, async |database| create(database, &tenant, grace).await).await
        }
        WebhookSecretCommand::List(ListArguments { tenant, storage }) => {
            on_database(storage, async |database| list(database, tenant.as_ref()).await).await
        }
        WebhookSecretCommand::Delete(DeleteArguments { id, storage }) => {
            on_database(storage, async |database| delete(database, id).await).await
        }
    }
}

async fn create(database: &Database, tenant: &Tenant, grace: u32) -> Result<(), CliError> {
    match rotation::rotate(database, tenant, Duration::from_hours(grace.into())).await? {
        Rotation::Made(made, secret) => {
            eprintln!("{}: tenant {}; those before it sign for {grace} more hours at most", made.id, made.tenant);
            super::print(secret.reveal());
            Ok(())
        }
        Rotation::TooMany => {
            let error =
                CliError::new(format!("{MOST} secrets of tenant {tenant} sign already, and no more are allowed"));
            Err(error.hint("Delete one that no receiver needs with `secateur webhook-secret delete ID`."))
        }
    }
}

async fn list(database: &Database, tenant: Option<&Tenant>) -> Result<(), CliError> {
    let mut table = Table::new(&["id", "tenant", "made", "state"].map(|title| (title, Align::Left)));
    for secret in &webhook_secret::list(database.pool(), tenant).await? {
        table.row(cells(secret));
    }
    super::print(&table.render());
    Ok(())
}

fn cells(secret: &WebhookSecret) -> [String; 4] {
    let state = match (secret.retires_at, secret.was_shown) {
        (Some(end), _) => format!("signs until {}", to_the_second(end)),
        (None, true) => "signs".to_owned(),
        (None, false) => "signs, made by itself".to_owned(),
    };
    [secret.id.to_string(), secret.tenant.to_string(), to_the_second(secret.created_at), state]
}

async fn delete(database: &Database, id: WebhookSecretId) -> Result<(), CliError> {
    if !webhook_secret::delete(database.pool(), id).await? {
        let error = CliError::new(format!("there is no webhook secret {id}"));
        return Err(error.hint("Run `secateur webhook-secret list`, which shows those that there are."));
    }
    eprintln!("{id} is deleted");
    Ok(())
}
