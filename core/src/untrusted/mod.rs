//! Bounded readers of bytes that strangers wrote: zip files, tar archives, PyTorch's pickles, and the headers of `.npy` arrays and Parquet files.
//!
//! Each reads one format strictly, as its usual writer writes it, in memory that a constant bounds, and panics on no input.
//! What the bytes are for is not known here: the pre-flight of archives and the data sets say what must hold
//! of them.

pub(crate) mod npy;
pub(crate) mod parquet;
pub(crate) mod pickle;
pub(crate) mod tar;
pub(crate) mod zip;
