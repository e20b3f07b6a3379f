//! A private PostgreSQL for those who bring none: one cluster in the data folder, over a unix socket, fsync on.
//!
//! The server belongs to this process. It ends with it: asked to when this program stops, by the kernel's parent-death
//! signal when this program is killed. When it ends by itself it is started again. A cluster that a killed program left
//! behind is taken over: whatever still runs on it is stopped first, which is safe because the caller holds the lock of
//! the data folder, and locks that nobody holds are removed. PostgreSQL refuses to run as root, so for root it runs under another user id.
//!
//! [`PrivatePostgres`] is all of it for a caller. Below it, each file imports only those before it: `error`, `settings`, `account` (the
//! user id), `binaries` (which PostgreSQL), `cluster` (its folder), `socket` (how to reach it), `lock_file`, `process` (who has it), `orphans` (taking it
//! over), `supervisor` (the process). [`ClientPrograms`] are for those who save a database.

#![warn(missing_docs)]

mod account;
mod binaries;
mod client;
mod cluster;
mod error;
mod lock_file;
mod orphans;
mod private;
mod process;
mod settings;
mod socket;
mod supervisor;

pub use client::{ClientPrograms, ServerPrograms};
pub use error::PostgresError;
pub use private::PrivatePostgres;
pub use settings::Settings;
