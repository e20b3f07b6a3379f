//! The service itself: its health and its description.

pub(super) mod health;
pub(super) mod openapi;
