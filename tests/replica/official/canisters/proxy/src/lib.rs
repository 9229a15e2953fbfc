//! Makes calls on behalf of its controllers, with its own cycles: what tools route calls through that need some.
use candid::{CandidType, Nat, Principal};
use ic_cdk::api::{canister_cycle_balance, is_controller, msg_caller};
use ic_cdk::call::{Call, CallFailed};
use serde::Deserialize;
use serde_bytes::ByteBuf;

#[derive(CandidType, Deserialize)]
struct ProxyArgs {
    canister_id: Principal,
    method: String,
    args: ByteBuf,
    cycles: Nat,
}

#[derive(CandidType)]
struct ProxyOk {
    result: ByteBuf,
}

#[derive(CandidType)]
enum ProxyError {
    InsufficientCycles { available: Nat, required: Nat },
    CallFailed { reason: String },
    UnauthorizedUser,
}

#[ic_cdk::update]
async fn proxy(args: ProxyArgs) -> Result<ProxyOk, ProxyError> {
    if !is_controller(&msg_caller()) {
        return Err(ProxyError::UnauthorizedUser);
    }
    let Ok(cycles) = u128::try_from(&args.cycles.0) else {
        return Err(ProxyError::InsufficientCycles {
            available: canister_cycle_balance().into(),
            required: args.cycles,
        });
    };
    let call = Call::unbounded_wait(args.canister_id, &args.method).take_raw_args(args.args.into_vec());
    match call.with_cycles(cycles).await {
        Ok(response) => Ok(ProxyOk {
            result: ByteBuf::from(response.into_bytes()),
        }),
        Err(CallFailed::InsufficientLiquidCycleBalance(missing)) => Err(ProxyError::InsufficientCycles {
            available: missing.available.into(),
            required: missing.required.into(),
        }),
        Err(failed) => Err(ProxyError::CallFailed {
            reason: failed.to_string(),
        }),
    }
}
