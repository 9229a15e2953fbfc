//! hub.did is what the code of the hub exports.

use candid_parser::utils::{service_equal, CandidSource};
use std::path::Path;

#[test]
fn the_code_exports_what_hub_did_says() {
    let code = hub::export_candid();
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("hub.did");
    service_equal(CandidSource::Text(&code), CandidSource::File(&file)).unwrap();
}

#[test]
fn every_method_has_one_rule_of_who_may_call_it() {
    let none: [String; 0] = [];
    assert_eq!(shell::admission::misfits(&hub::export_candid(), hub::ADMITTED), none);
}
