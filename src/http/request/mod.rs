//! Parts of a request, parsed: ids, parameters, pages, bodies, credentials, and what a caller may still ask for.

pub mod allowance;
pub mod body;
pub mod credentials;
pub mod id;
pub mod multipart;
pub mod page;
pub mod parameters;
pub mod wait;
