//! Which update calls are accepted at all: the table of methods, longest arguments and callers.
//!
//! Looked up by `inspect_message`, which costs a canister nothing, before the call is charged to it
//! (2,000 cycles a byte) and anything is decoded. What a caller may do with the very resource is
//! asked by each method again, and calls from canisters, which pay for what they send, are not looked
//! at here. What can be asked for free as a query is accepted as an update, too, from operators and
//! from those who manage a capsule: they want a certificate with the answer.

use crate::Canister;
use access::rules::SHARE;
pub use access::rules::{MANAGE, OWN};
use access::Call;
use candid::de::IDLDeserialize;
use ic_cdk::api;
use types::limits::{CHUNK_SIZE, MAX_RECORD};

/// Whose calls are accepted.
#[derive(Clone, Copy, Debug)]
pub enum Who {
    /// Nobody: called by canisters only.
    Canisters,
    Operators,
    /// Who may do that with anything in the capsule that the first argument names; and operators.
    InCapsule(u32),
    /// Who may do that with anything in some capsule; and operators.
    Anywhere(u32),
    /// Who the canister says; and operators.
    Those(fn(&Call) -> bool),
}

/// A method, the most bytes of its arguments, and who calls it.
pub type Rule = (&'static str, usize, Who);

/// Ids, digests and numbers.
pub const SMALL: usize = 1 << 10;
/// Texts of a record that is not long.
const TEXTS: usize = 32 << 10;
/// A record of any length: Candid takes no more than half as much again as CBOR.
const RECORD: usize = MAX_RECORD + MAX_RECORD / 2;
/// A chunk with what names it.
pub const CHUNK: usize = CHUNK_SIZE as usize + SMALL;
/// As long as an ingress message can be.
pub const MESSAGE: usize = 2 << 20;

const MANAGED: Who = Who::InCapsule(MANAGE);

/// The methods that all canisters of capsules have.
#[rustfmt::skip]
const SHARED: &[Rule] = &[
    ("capsules_update",    256 << 10, MANAGED),
    ("memories_create",    RECORD,    MANAGED),
    ("memories_update",    RECORD,    MANAGED),
    ("memories_delete",    SMALL,     MANAGED),
    ("folders_create",     TEXTS,     MANAGED),
    ("folders_update",     TEXTS,     MANAGED),
    ("folders_delete",     SMALL,     MANAGED),
    ("galleries_create",   RECORD,    MANAGED),
    ("galleries_update",   RECORD,    MANAGED),
    ("galleries_delete",   SMALL,     MANAGED),
    ("connections_create", TEXTS,     MANAGED),
    ("connections_update", TEXTS,     MANAGED),
    ("connections_delete", SMALL,     MANAGED),
    ("groups_create",      RECORD,    MANAGED),
    ("groups_update",      RECORD,    MANAGED),
    ("groups_delete",      SMALL,     MANAGED),
    ("access_create",      TEXTS,     Who::InCapsule(SHARE)),
    ("access_update",      TEXTS,     MANAGED),
    ("access_delete",      SMALL,     MANAGED),
    ("uploads_begin",      SMALL,     MANAGED),
    ("uploads_put_chunk",  CHUNK,     MANAGED),
    ("uploads_finish",     SMALL,     MANAGED),
    ("uploads_abort",      SMALL,     MANAGED),
    // queries
    ("capsules_get",       SMALL,     MANAGED),
    ("capsules_summary",   SMALL,     MANAGED),
    ("memories_get",       SMALL,     MANAGED),
    ("memories_list",      SMALL,     MANAGED),
    ("folders_get",        SMALL,     MANAGED),
    ("folders_list",       SMALL,     MANAGED),
    ("galleries_get",      SMALL,     MANAGED),
    ("galleries_list",     SMALL,     MANAGED),
    ("connections_get",    SMALL,     MANAGED),
    ("connections_list",   SMALL,     MANAGED),
    ("groups_get",         SMALL,     MANAGED),
    ("groups_list",        SMALL,     MANAGED),
    ("access_get",         SMALL,     MANAGED),
    ("access_list",        SMALL,     MANAGED),
    ("access_effective",   2 * SMALL, MANAGED),
    ("access_reach",       2 * SMALL, Who::Anywhere(MANAGE)),
    ("access_matrix",      2 * SMALL, Who::InCapsule(OWN)),
    ("uploads_status",     SMALL,     MANAGED),
    ("uploads_list",       SMALL,     MANAGED),
    ("blobs_get",          SMALL,     MANAGED),
    ("blobs_list",         SMALL,     MANAGED),
    ("blobs_read_chunk",   SMALL,     MANAGED),
    ("manifest_root",      SMALL,     MANAGED),
    ("manifest_node",      SMALL,     MANAGED),
    ("manifest_leaves",    SMALL,     MANAGED),
    ("asset_tokens",       128 << 10, MANAGED),
    ("asset_tokens_revoke", SMALL,    MANAGED),
    ("http_request",       TEXTS,     Who::Anywhere(MANAGE)),
    ("http_request_streaming_callback", 4 * SMALL, Who::Anywhere(MANAGE)),
    ("cycles",              SMALL,    Who::Anywhere(MANAGE)),
    ("cycles_by_operation", SMALL,    Who::Anywhere(MANAGE)),
];

fn rule_of(method: &str, own: &[Rule]) -> Option<(usize, Who)> {
    let found = own.iter().chain(SHARED).find(|(name, ..)| *name == method);
    found.map(|(_, most, who)| (*most, *who))
}

/// To be called by `inspect_message`; `own` are the methods that the canister has besides.
pub fn inspect<C: Canister>(own: &[Rule]) {
    let Some((most, who)) = rule_of(&api::msg_method_name(), own) else { return };
    let call = C::call();
    if ic0::msg_arg_data_size() <= most && !call.is_anonymous() && belongs::<C>(&call, who) {
        api::accept_message();
    }
}

fn belongs<C: Canister>(call: &Call, who: Who) -> bool {
    let is_operator = call.operator;
    match who {
        Who::Canisters => false,
        _ if is_operator => true,
        Who::Operators => false,
        Who::InCapsule(needed) => first_text(&api::msg_arg_data()).is_some_and(|capsule| {
            C::with(|canister| canister.store().may_somewhere(call, &capsule, needed))
        }),
        Who::Anywhere(needed) => C::with(|canister| canister.store().may_anywhere(call, needed)),
        Who::Those(belongs) => belongs(call),
    }
}

/// The first argument, where it is a text.
fn first_text(argument: &[u8]) -> Option<String> {
    IDLDeserialize::new(argument).ok()?.get_value().ok()
}

/// Methods of an interface, as exported, that no rule is about, and rules that are about none: for a
/// canister's test that it has one for each.
pub fn misfits(interface: &str, own: &[Rule]) -> Vec<String> {
    let is_method = |line: &&str| line.contains(" : (") && !line.trim_start().starts_with("service");
    let methods: Vec<&str> = interface
        .rsplit("service :")
        .next()
        .into_iter()
        .flat_map(str::lines)
        .filter(is_method)
        .filter_map(|line| line.trim().split(" : (").next())
        .collect();
    let rules: Vec<&str> = own.iter().chain(SHARED).map(|(name, ..)| *name).collect();
    let once = |name: &&str| rules.iter().filter(|rule| *rule == name).count() == 1;
    let without = methods.iter().filter(|method| !once(method));
    without.chain(rules.iter().filter(|rule| !methods.contains(rule))).map(|name| name.to_string()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_capsule_is_the_first_argument_and_junk_is_none() {
        let arguments = candid::encode_args(("capsule-1", 5u64, vec![7u8; 10])).unwrap();
        assert_eq!(first_text(&arguments).as_deref(), Some("capsule-1"));
        assert_eq!(first_text(&candid::encode_one(5u64).unwrap()), None);
        assert_eq!(first_text(b"DIDL\0\0"), None);
        assert_eq!(first_text(&[0; 1_000]), None);
    }
}
