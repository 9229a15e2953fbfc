//! hub.did is what the code of the hub exports.

use candid_parser::utils::{service_equal, CandidSource};
use std::path::Path;

#[test]
fn the_code_exports_what_hub_did_says() {
    let code = hub::export_candid();
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("hub.did");
    service_equal(CandidSource::Text(&code), CandidSource::File(&file)).unwrap();
}
