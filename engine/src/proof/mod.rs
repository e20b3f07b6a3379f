//! The proof that a surgery is exact, and how far two networks' outputs may lie apart.

pub mod difference;
pub mod oracle;
pub mod program;
