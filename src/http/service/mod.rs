//! The service itself: its health, its metrics and its description.

pub(super) mod health;
pub(super) mod metrics;
pub(super) mod openapi;
