//! The personal canister.
