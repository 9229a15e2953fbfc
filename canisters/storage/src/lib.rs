//! What stable memory consists of: its table of contents, keys, canonical bytes, extents, header, meter.

pub mod canonical;
pub mod digest;
pub mod extents;
pub mod header;
pub mod keys;
pub mod memory;
pub mod meter;
