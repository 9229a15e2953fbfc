//! Certified data that grows with what a canister keeps, in stable memory.
//!
//! A hash tree in the heap is built again after every upgrade, in one message: past some size a
//! canister could not be upgraded any more. Here it stays where it is, and no operation costs more
//! than the logarithm of what is in it.

mod branch;
mod label_tree;

pub use branch::Branch;
pub use label_tree::{LabelTree, MAX_LABEL};
