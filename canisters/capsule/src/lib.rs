//! The rules about capsules: records, access, blobs, manifests, import and HTTP answers.
//!
//! This crate knows no canister runtime. Caller, time, secrets and certificates come in as
//! arguments, and everything that lasts is generic over [`ic_stable_structures::Memory`], so that
//! the same code is tested natively and runs in the hub and in personal canisters.
//!
//! Imports go down only: from each group of this list to those above it, or within it.

pub mod limits;
pub mod types;

pub mod canonical;
pub mod keys;
pub mod memory;

pub mod header;
pub mod index;
pub mod journal;
pub mod kinds;
pub mod operators;
pub mod records;
pub mod slots;

pub mod blobs;
pub mod extents;
pub mod http;
pub mod manifest;
pub mod meter;
pub mod quote;
pub mod tokens;

pub mod access;
pub mod certified;
pub mod face;
pub mod store;

pub mod data;
pub mod departure;
pub mod export;
pub mod import;
pub mod wasm_store;
