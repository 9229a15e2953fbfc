//! The seam to the system: what the factory waits for, and what it asks of clock and cycles.
//!
//! In the hub it is the Internet Computer, in tests a small one in memory.

use crate::Hub;
use candid::Principal;
use ic_stable_structures::Memory as StableMemory;
use serde_bytes::ByteBuf;
use std::collections::BTreeSet;
use types::*;

/// How the creation of a canister went.
#[derive(Debug)]
pub enum Creation {
    Created(Principal),
    /// Nothing was created; the cycles are back.
    Refused(Error),
    /// An answer that cannot be read: a canister may be there.
    Unknown(Error),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InstallMode {
    Install,
    Reinstall,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RunState {
    Running,
    Stopping,
    Stopped,
}

/// What a controller learns about a canister.
#[derive(Clone, Debug)]
pub struct Status {
    pub run_state: RunState,
    pub module_hash: Option<ByteBuf>,
    pub cycles: u128,
}

/// Each call answers Upstream when it was refused.
#[allow(async_fn_in_trait)]
pub trait Runtime {
    type Memory: StableMemory;

    /// The hub, for a moment: never across an await.
    fn with<T>(&self, use_hub: impl FnOnce(&mut Hub<Self::Memory>) -> T) -> T;
    /// What is certified of a capsule has changed: where it lives, or the root of its manifest.
    fn recertify(&self, capsule: &str);

    fn now(&self) -> Time;
    fn balance(&self) -> u128;
    fn liquid_balance(&self) -> u128;
    /// What the system asks for a new canister.
    fn creation_fee(&self) -> u128;
    /// Instructions of the method so far, all its messages together.
    fn instructions(&self) -> u64;

    /// Creates a canister that the hub controls and that has `endowment` cycles.
    async fn create_canister(&self, endowment: u128) -> Creation;
    async fn install_code(
        &self,
        canister: Principal,
        mode: InstallMode,
        module: Vec<u8>,
        arg: Vec<u8>,
    ) -> Answer<()>;
    async fn status(&self, canister: Principal) -> Answer<Status>;
    /// NotFound where there is no such canister; asked by anybody.
    async fn controllers(&self, canister: Principal) -> Answer<BTreeSet<Principal>>;
    async fn set_controllers(&self, canister: Principal, controllers: BTreeSet<Principal>) -> Answer<()>;
    /// Nothing is kept back against freezing any more: the canister is about to be deleted.
    async fn free_cycles(&self, canister: Principal) -> Answer<()>;
    async fn stop(&self, canister: Principal) -> Answer<()>;
    async fn delete(&self, canister: Principal) -> Answer<()>;

    async fn import_status(&self, canister: Principal) -> Answer<ImportStatus>;
    /// What the owners have consented to, and whether `asker` is one of them.
    async fn handoff_terms(&self, canister: Principal, asker: Principal) -> Answer<HandoffTerms>;
    async fn import_activate(
        &self,
        canister: Principal,
        root: &ByteBuf,
        hub_tokens: Option<HubTokens>,
    ) -> Answer<ImportStatus>;
    async fn import_close(&self, canister: Principal) -> Answer<ImportStatus>;
    /// The cycles that the personal canister has sent back.
    async fn import_return_cycles(&self, canister: Principal) -> Answer<u128>;
}
