//! Each format from files that the usual tools of Python wrote (`engine/tests/fixtures/formats`), and archives made by hand.

mod fixture;
mod hostile_bytes;
mod layouts;
mod recognised;
mod refused;
