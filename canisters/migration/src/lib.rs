//! How the hub migrates capsules: its policy, the table of phases, the records, the quote, the factory's steps.
//!
//! Knows no canister runtime: what awaits the system is behind [`runtime::Runtime`].

pub mod economy;
pub mod factory;
pub mod hub;
pub mod migrations;
pub mod module_store;
pub mod phases;
pub mod quote;
pub mod runtime;

pub use hub::Hub;
