//! Calls to the management canister, and to personal canisters; each answers Upstream when refused.

use candid::{CandidType, Nat, Principal};
use ic_cdk::call::{Call, CallFailed};
use ic_cdk_management_canister as ic;
use serde::Deserialize;
use serde_bytes::ByteBuf;
use types::*;

/// Most reserved cycles of a personal canister: growth beyond the default of 5e12 must not fail.
const RESERVED_CYCLES_LIMIT: u128 = 100_000_000_000_000;

/// The fields of canister_status that are used here; others may come and go.
#[derive(CandidType, Deserialize)]
pub struct Status {
    pub status: ic::CanisterStatusType,
    pub module_hash: Option<ByteBuf>,
    pub cycles: Nat,
}

/// The fields of canister_info that are used here.
#[derive(CandidType, Deserialize)]
pub struct Info {
    pub controllers: Vec<Principal>,
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

/// How the creation of a canister went.
pub enum Creation {
    Created(Principal),
    /// Nothing was created; the cycles are back.
    Refused(Error),
    /// An answer that cannot be read: a canister may be there.
    Unknown(Error),
}

/// Creates a canister that this one controls and that has `endowment` cycles.
pub async fn create_canister(endowment: u128) -> Creation {
    let settings = ic::CanisterSettings {
        controllers: Some(vec![ic_cdk::api::canister_self()]),
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

pub async fn install_code(
    canister_id: Principal,
    mode: ic::CanisterInstallMode,
    wasm_module: Vec<u8>,
    arg: Vec<u8>,
) -> Answer<()> {
    let arg = ic::InstallCodeArgs { mode, canister_id, wasm_module, arg };
    ic::install_code(&arg).await.map_err(|error| upstream("install_code", error))
}

pub async fn canister_status(canister_id: Principal) -> Answer<Status> {
    let call = Call::unbounded_wait(Principal::management_canister(), "canister_status");
    let response = call.with_arg(CanisterArg { canister_id }).await;
    let response = response.map_err(|error| upstream("canister_status", error))?;
    response.candid().map_err(|error| upstream("canister_status", error))
}

/// Whether there is such a canister; NotFound where there is none.
pub async fn canister_info(canister_id: Principal) -> Answer<Info> {
    let call = Call::unbounded_wait(Principal::management_canister(), "canister_info");
    match call.with_arg(InfoArg { canister_id, num_requested_changes: None }).await {
        Ok(response) => response.candid().map_err(|error| upstream("canister_info", error)),
        Err(CallFailed::CallRejected(rejected)) if rejected.raw_reject_code() == DESTINATION_INVALID => {
            Err(Error::NotFound(format!("canister {canister_id}")))
        }
        Err(error) => Err(upstream("canister_info", error)),
    }
}

/// The reject code of a canister that does not exist.
const DESTINATION_INVALID: u32 = 3;

pub async fn set_controllers(canister_id: Principal, controllers: Vec<Principal>) -> Answer<()> {
    let settings = ic::CanisterSettings { controllers: Some(controllers), ..Default::default() };
    update_settings(canister_id, settings).await
}

/// Nothing is held back against freezing any more: the canister is about to be deleted.
pub async fn unfreeze(canister_id: Principal) -> Answer<()> {
    let settings = ic::CanisterSettings { freezing_threshold: Some(Nat::from(0u8)), ..Default::default() };
    update_settings(canister_id, settings).await
}

async fn update_settings(canister_id: Principal, settings: ic::CanisterSettings) -> Answer<()> {
    let arg = ic::UpdateSettingsArgs { canister_id, settings };
    ic::update_settings(&arg).await.map_err(|error| upstream("update_settings", error))
}

pub async fn stop_canister(canister_id: Principal) -> Answer<()> {
    let arg = ic::StopCanisterArgs { canister_id };
    ic::stop_canister(&arg).await.map_err(|error| upstream("stop_canister", error))
}

pub async fn delete_canister(canister_id: Principal) -> Answer<()> {
    let arg = ic::DeleteCanisterArgs { canister_id };
    ic::delete_canister(&arg).await.map_err(|error| upstream("delete_canister", error))
}

// ---- the personal canister ---------------------------------------------------------------------

async fn personal<T: CandidType + serde::de::DeserializeOwned>(
    canister: Principal,
    method: &str,
    arg: Vec<u8>,
) -> Answer<T> {
    let response = Call::unbounded_wait(canister, method).take_raw_args(arg).await;
    let response = response.map_err(|error| upstream(method, error))?;
    response.candid::<Answer<T>>().map_err(|error| upstream(method, error))?
}

fn no_arguments() -> Vec<u8> {
    candid::encode_args(()).expect("nothing to encode")
}

pub async fn import_status(canister: Principal) -> Answer<ImportStatus> {
    personal(canister, "import_status", no_arguments()).await
}

pub async fn import_activate(canister: Principal, root: &ByteBuf) -> Answer<ImportStatus> {
    let arg = candid::encode_one(root).map_err(|error| upstream("import_activate", error))?;
    personal(canister, "import_activate", arg).await
}

pub async fn import_close(canister: Principal) -> Answer<ImportStatus> {
    personal(canister, "import_close", no_arguments()).await
}

/// The cycles that the personal canister has sent back.
pub async fn import_return_cycles(canister: Principal) -> Answer<Nat> {
    personal(canister, "import_return_cycles", no_arguments()).await
}
