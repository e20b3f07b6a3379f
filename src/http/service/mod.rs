//! The service itself: its health and its description.

pub mod health;
pub mod openapi;
