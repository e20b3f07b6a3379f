//! The engine as its worker sees it, and its parts on the example networks. One program, so that libtorch is linked once.

mod families;
mod job;
mod labels;
mod large_data;
mod latency;
mod pipeline;
mod process;
mod recovery;
mod resume;
mod scoring;
#[path = "../tar/mod.rs"]
mod tar;
