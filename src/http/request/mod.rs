//! Parts of a request, parsed: ids, parameters, pages, bodies, credentials, and what a caller may still ask for.

pub(super) mod allowance;
pub(super) mod body;
pub(super) mod credentials;
pub(super) mod id;
pub(super) mod multipart;
pub(super) mod page;
pub(super) mod parameters;
pub(super) mod wait;
