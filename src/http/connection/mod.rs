//! Connections: who may hold one, for how long, and how fast its client must be.
//!
//! [`serve`] accepts and gives every connection a place ([`place`]). A connection waits for a request, or it is busy with one. One that waits
//! has a deadline: for the head of a request that has begun, or that nothing has come of yet, and for being idle between two
//! requests. When all places are taken, the one that has waited longest is given up for a newcomer, so half-open connections
//! cannot keep anyone out; when all are busy, the newcomer is answered with 503. Busy connections have no deadline (long polls and event streams
//! last), but a body must come at a least rate ([`body::PacedBody`]), and a client that reads nothing of an answer is cut off
//! ([`stream::WatchedStream`]). The number of places follows from how many files the process may open ([`descriptors`]).
//!
//! HTTP/1.1 only: it needs no limits on streams and resets, and every proxy that ends TLS speaks it.

mod activity;
pub mod body;
mod descriptors;
mod limits;
mod pace;
mod place;
mod refusal;
mod serve;
mod stream;

pub use descriptors::{open_files, raise_open_files};
pub use limits::ConnectionLimits;
pub use pace::Pace;
pub use serve::serve;
