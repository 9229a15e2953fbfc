//! The Internet Computer as the factory's runtime: the management canister, personal canisters, cycles.

use crate::SharedHub;
use candid::utils::ArgumentEncoder;
use candid::{encode_args, CandidType, Nat, Principal};
use ic_cdk::api;
use ic_cdk::call::{Call, CallFailed};
use ic_cdk_management_canister as ic;
use migration::runtime::{Creation, InstallMode, RunState, Runtime, Status};
use migration::Hub;
use serde::de::DeserializeOwned;
use serde::Deserialize;
use serde_bytes::ByteBuf;
use shell::{Canister, StableMemory};
use std::collections::BTreeSet;
use types::*;

/// Most reserved cycles of a personal canister: growth beyond the default of 5e12 must not fail.
const RESERVED_CYCLES_LIMIT: u128 = 100_000_000_000_000;

/// The fields of canister_status that are used here; others may come and go.
#[derive(CandidType, Deserialize)]
struct StatusFields {
    status: ic::CanisterStatusType,
    module_hash: Option<ByteBuf>,
    cycles: Nat,
}

/// The fields of canister_info that are used here.
#[derive(CandidType, Deserialize)]
struct InfoFields {
    controllers: Vec<Principal>,
}

#[derive(CandidType)]
struct InfoArg {
    canister_id: Principal,
    num_requested_changes: Option<u64>,
}

#[derive(CandidType)]
struct CanisterArg {
    canister_id: Principal,
}

fn upstream(method: &str, error: impl std::fmt::Display) -> Error {
    Error::Upstream(format!("{method}: {error}"))
}

/// 32 random bytes that nobody knows yet.
pub async fn random() -> Answer<Digest> {
    let bytes = ic::raw_rand().await.map_err(|error| upstream("raw_rand", error))?;
    bytes.try_into().map_err(|_| upstream("raw_rand", "not 32 bytes"))
}

/// The reject code of a canister that does not exist.
const DESTINATION_INVALID: u32 = 3;

/// The system that this canister runs on.
pub struct System;

impl Runtime for System {
    type Memory = StableMemory;

    fn with<T>(&self, use_hub: impl FnOnce(&mut Hub<StableMemory>) -> T) -> T {
        SharedHub::with(|shared| use_hub(&mut shared.hub))
    }

    fn recertify(&self, capsule: &str) {
        SharedHub::recertify(capsule);
    }

    fn now(&self) -> Time {
        api::time()
    }

    fn balance(&self) -> u128 {
        api::canister_cycle_balance()
    }

    fn liquid_balance(&self) -> u128 {
        api::canister_liquid_cycle_balance()
    }

    fn creation_fee(&self) -> u128 {
        api::cost_create_canister()
    }

    fn instructions(&self) -> u64 {
        api::call_context_instruction_counter()
    }

    async fn create_canister(&self, endowment: u128) -> Creation {
        let settings = ic::CanisterSettings {
            controllers: Some(vec![api::canister_self()]),
            reserved_cycles_limit: Some(Nat::from(RESERVED_CYCLES_LIMIT)),
            ..Default::default()
        };
        let arg = ic::CreateCanisterArgs { settings: Some(settings) };
        match ic::create_canister_with_extra_cycles(&arg, endowment).await {
            Ok(created) => Creation::Created(created.canister_id),
            Err(ic_cdk::call::Error::CandidDecodeFailed(error)) => {
                Creation::Unknown(upstream("create_canister", error))
            }
            Err(error) => Creation::Refused(upstream("create_canister", error)),
        }
    }

    async fn install_code(
        &self,
        canister_id: Principal,
        mode: InstallMode,
        wasm_module: Vec<u8>,
        arg: Vec<u8>,
    ) -> Answer<()> {
        let mode = match mode {
            InstallMode::Install => ic::CanisterInstallMode::Install,
            InstallMode::Reinstall => ic::CanisterInstallMode::Reinstall,
        };
        let arg = ic::InstallCodeArgs { mode, canister_id, wasm_module, arg };
        ic::install_code(&arg).await.map_err(|error| upstream("install_code", error))
    }

    async fn status(&self, canister_id: Principal) -> Answer<Status> {
        let call = Call::unbounded_wait(Principal::management_canister(), "canister_status");
        let response = call.with_arg(CanisterArg { canister_id }).await;
        let response = response.map_err(|error| upstream("canister_status", error))?;
        let found: StatusFields = response.candid().map_err(|error| upstream("canister_status", error))?;
        Ok(Status {
            run_state: match found.status {
                ic::CanisterStatusType::Running => RunState::Running,
                ic::CanisterStatusType::Stopping => RunState::Stopping,
                ic::CanisterStatusType::Stopped => RunState::Stopped,
            },
            module_hash: found.module_hash,
            cycles: migration::migrations::cycles(&found.cycles),
        })
    }

    async fn controllers(&self, canister_id: Principal) -> Answer<BTreeSet<Principal>> {
        let call = Call::unbounded_wait(Principal::management_canister(), "canister_info");
        match call.with_arg(InfoArg { canister_id, num_requested_changes: None }).await {
            Ok(response) => {
                let found: InfoFields =
                    response.candid().map_err(|error| upstream("canister_info", error))?;
                Ok(found.controllers.into_iter().collect())
            }
            Err(CallFailed::CallRejected(rejected)) if rejected.raw_reject_code() == DESTINATION_INVALID => {
                Err(Error::NotFound(format!("canister {canister_id}")))
            }
            Err(error) => Err(upstream("canister_info", error)),
        }
    }

    async fn set_controllers(&self, canister_id: Principal, controllers: BTreeSet<Principal>) -> Answer<()> {
        let controllers = Some(controllers.into_iter().collect());
        update_settings(canister_id, ic::CanisterSettings { controllers, ..Default::default() }).await
    }

    async fn free_cycles(&self, canister_id: Principal) -> Answer<()> {
        let freezing_threshold = Some(Nat::from(0u8));
        update_settings(canister_id, ic::CanisterSettings { freezing_threshold, ..Default::default() }).await
    }

    async fn stop(&self, canister_id: Principal) -> Answer<()> {
        let arg = ic::StopCanisterArgs { canister_id };
        ic::stop_canister(&arg).await.map_err(|error| upstream("stop_canister", error))
    }

    async fn delete(&self, canister_id: Principal) -> Answer<()> {
        let arg = ic::DeleteCanisterArgs { canister_id };
        ic::delete_canister(&arg).await.map_err(|error| upstream("delete_canister", error))
    }

    async fn import_status(&self, canister: Principal) -> Answer<ImportStatus> {
        personal(canister, "import_status", ()).await
    }

    async fn import_activate(
        &self,
        canister: Principal,
        root: &ByteBuf,
        hub_tokens: Option<HubTokens>,
    ) -> Answer<ImportStatus> {
        personal(canister, "import_activate", (root, hub_tokens)).await
    }

    async fn handoff_terms(&self, canister: Principal, asker: Principal) -> Answer<HandoffTerms> {
        personal(canister, "handoff_terms", (asker,)).await
    }

    async fn import_close(&self, canister: Principal) -> Answer<ImportStatus> {
        personal(canister, "import_close", ()).await
    }

    async fn import_return_cycles(&self, canister: Principal) -> Answer<u128> {
        let returned: Nat = personal(canister, "import_return_cycles", ()).await?;
        Ok(migration::migrations::cycles(&returned))
    }
}

async fn update_settings(canister_id: Principal, settings: ic::CanisterSettings) -> Answer<()> {
    let arg = ic::UpdateSettingsArgs { canister_id, settings };
    ic::update_settings(&arg).await.map_err(|error| upstream("update_settings", error))
}

/// A method of a personal canister.
async fn personal<T: CandidType + DeserializeOwned>(
    canister: Principal,
    method: &str,
    arguments: impl ArgumentEncoder,
) -> Answer<T> {
    let arguments = encode_args(arguments).map_err(|error| upstream(method, error))?;
    let response = Call::unbounded_wait(canister, method).take_raw_args(arguments).await;
    let response = response.map_err(|error| upstream(method, error))?;
    response.candid::<Answer<T>>().map_err(|error| upstream(method, error))?
}
