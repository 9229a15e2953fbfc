//! The hub canister.
