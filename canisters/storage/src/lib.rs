//! What stable memory holds and how: its table of contents, keys, canonical bytes and plain structures.

pub mod canonical;
pub mod digest;
pub mod extents;
pub mod header;
pub mod keys;
pub mod memory;
pub mod meter;
