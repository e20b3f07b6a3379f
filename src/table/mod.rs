//! The tables: one module each, with the row's type and every statement on it, one function per statement.
//!
//! A function here is one statement and no decision; [`crate::queue`] composes them into transactions. Wherever two
//! rows of one job are written in one transaction, the job's row is locked first.

pub mod api_key;
pub mod artifact;
pub mod blob_reference;
pub mod dataset;
pub mod event;
pub mod expired_job;
pub mod figures;
pub mod inventory;
pub mod job;
pub mod judgement;
pub mod loose_blob;
pub mod measurement;
pub mod model;
pub mod prepared;
pub mod request_allowance;
pub mod server;
pub mod session;
pub mod task;
pub mod tenant_share;
pub mod usage;
pub mod webhook_attempt;
pub mod webhook_delivery;
pub mod webhook_secret;
pub mod worker;

use serde::Serialize;
use serde_json::Value;

use crate::access::Tenant;
use crate::blob::BlobKey;
use crate::digest::Sha256;

/// An upload to be inserted, with an id of its kind.
#[derive(Debug, Clone, Copy)]
pub struct NewUpload<'a, Id> {
    pub id: Id,
    pub tenant: &'a Tenant,
    pub name: Option<&'a str>,
    pub sha256: Sha256,
    pub bytes: u64,
    pub blob: &'a BlobKey,
}

/// A value of ours as `jsonb`, which takes no NUL in texts; an engine may send one.
fn to_json(value: &impl Serialize) -> Value {
    let mut json = serde_json::to_value(value).expect("our own types have string keys and serialise without errors");
    replace_nul(&mut json);
    json
}

fn replace_nul(json: &mut Value) {
    match json {
        Value::String(text) if text.contains('\0') => *text = text.replace('\0', "\u{fffd}"),
        Value::Array(items) => items.iter_mut().for_each(replace_nul),
        Value::Object(fields) => fields.values_mut().for_each(replace_nul),
        _ => {}
    }
}
