//! The HTTP API, version 1. An endpoint is one file: extract → one domain call → answer.
//!
//! [`router`] has all of them, the pages of the [`dashboard`] and the [`reference`]. Before a handler stands the guard ([`guard`]): it lets in what is meant for this server and comes from no
//! foreign page, and says who the caller is. A handler that changes something says which scope it needs (`caller.require`), and gets
//! ids of a path only through [`request::id::Own`], which answers 404 for what is not the caller's.
//!
//! [`request`] has the parts of a request, [`answer`] what goes back, [`connection`] the sockets. Every answer carries `x-request-id`,
//! the client's own or a new one, and so does every line of the log below it. Every error, also of the framework and of a panic, is a
//! [`answer::problem::Problem`].

mod answer;
mod app;
mod artifacts;
pub mod connection;
mod dashboard;
mod datasets;
mod deliveries;
mod gate;
mod guard;
mod jobs;
mod judgements;
mod keys;
mod measure;
mod models;
mod quotas;
mod reference;
mod request;
mod router;
mod service;
mod session;
mod uploads;
mod webhook_secrets;

pub use answer::problem::every_error;
pub use app::App;
pub use gate::{Entrance, Gate};
pub use request::credentials::CookieKind;
pub use router::router;
pub use service::metrics::worker_router;
pub use service::openapi::document as openapi_document;
