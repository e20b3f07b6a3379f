//! The engine as a process: what it says to its worker, what it gives up before it sees a stranger's file, and how it ends.

pub mod checkpoint;
pub mod deadline;
pub mod fault;
pub mod memory;
pub mod messages;
pub mod sandbox;
pub mod versions;
