//! Signs delegations by canister signatures, as a login service does: whoever asks acts for the signer under a seed.
use ic_canister_sig_creation::signature_map::{CanisterSigInputs, SignatureMap};
use ic_canister_sig_creation::{delegation_signature_msg, CanisterSigPublicKey, DELEGATION_SIG_DOMAIN};
use ic_cdk::{query, update};
use serde_bytes::ByteBuf;
use std::cell::RefCell;

const LABEL: &[u8] = b"sig";

thread_local! {
    static SIGNATURES: RefCell<SignatureMap> = RefCell::new(SignatureMap::default());
}

/// What has to be signed for the session key to act until the expiration, in nanoseconds since 1970.
fn message(session_key: &[u8], expiration: u64) -> Vec<u8> {
    delegation_signature_msg(session_key, expiration, None)
}

fn inputs<'a>(seed: &'a [u8], message: &'a [u8]) -> CanisterSigInputs<'a> {
    CanisterSigInputs {
        domain: DELEGATION_SIG_DOMAIN,
        seed,
        message,
    }
}

#[query]
fn public_key(seed: ByteBuf) -> ByteBuf {
    ByteBuf::from(CanisterSigPublicKey::new(ic_cdk::api::canister_self(), seed.into_vec()).to_der())
}

#[update]
fn prepare_delegation(seed: ByteBuf, session_key: ByteBuf, expiration: u64) {
    SIGNATURES.with_borrow_mut(|signatures| {
        signatures.add_signature(&inputs(&seed, &message(&session_key, expiration)));
        ic_cdk::api::certified_data_set(ic_certification::labeled_hash(LABEL, &signatures.root_hash()));
    });
}

#[query]
fn get_delegation(seed: ByteBuf, session_key: ByteBuf, expiration: u64) -> ByteBuf {
    SIGNATURES.with_borrow(|signatures| {
        let message = message(&session_key, expiration);
        let signature = signatures.get_signature_as_cbor(&inputs(&seed, &message), None);
        ByteBuf::from(signature.unwrap_or_else(|error| ic_cdk::trap(format!("no signature: {error}"))))
    })
}
