//! Tests that start the real engine, and so need libtorch. `make test-fast` leaves out all that is in here and nothing else.
//!
//! The engine is to be had in this module alone, so a test that starts it cannot be anywhere else.

mod binary;
mod browser;
mod cli;
mod hostile;
mod inspections;
mod jobs;

use binary::{engine, engine_with_fault};
