//! The door to libtorch: import, interpreter and export, on the example networks and on small archives made for one test.

mod attention;
mod batch_norm;
mod export;
mod fixture;
mod import;
mod limits;
mod operators;
mod patch;
mod program;
mod refusal;
mod selection;
mod surgery;
mod verdict;
mod write;
