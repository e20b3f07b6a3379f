//! The queue's guarantees, with each race played in one fixed order on real connections.

mod cancel;
mod claim;
mod crowd;
mod finish;
mod lease;
mod restart;
