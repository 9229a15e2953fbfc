//! What every canister of capsules has: its state cell, metering, certified data, shared endpoints.
//!
//! The one crate between the system and the domain crates. A canister implements [`Canister`], names
//! itself in [`canister!`], and exports the methods that it shares with others by one macro each:
//! [`data_endpoints!`], [`http_endpoints!`], [`system_endpoints!`].

pub mod admission;
mod data;
mod http;
mod state;
mod system;

pub use state::{Canister, Memories, StableMemory, State, Store};
pub use system::cycles;
