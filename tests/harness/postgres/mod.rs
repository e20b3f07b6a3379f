//! The database of a test: one of its own on a PostgreSQL that all tests share.
//!
//! A migrated template is made once on the shared server, and a copy of it takes a fraction of a second. Where PostgreSQL itself is
//! hurt, or is what a test is about, a server under test runs its own instead, on a copy of a cluster that is made once too.

mod database;
mod keeper;
mod lobby;
mod shared;
mod template;

pub(crate) use database::TestDatabase;
pub(crate) use template::copy_to as copy_cluster_to;
