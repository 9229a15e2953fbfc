//! The data of capsules: records, their manifest, HTTP, tokens, export and import.
//!
//! This crate knows no canister runtime. Caller, time, secrets and certificates come in as
//! arguments, and everything that lasts is generic over [`ic_stable_structures::Memory`], so that
//! the same code is tested natively and runs in the hub and in personal canisters.
//!
//! Imports go down only: from each group of this list to those above it, or within it.

pub mod index;
pub mod operators;
pub mod records;
pub mod registry;

pub mod http;
pub mod manifest;
pub mod tokens;

pub mod certified;
pub mod store;
pub mod visible_assets;

pub mod data;
pub mod export;
pub mod import;
pub mod relocation;
mod standing;
