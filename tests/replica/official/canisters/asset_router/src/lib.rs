//! The asset router of ic-asset-certification: files above 2 MB are answered in certified parts, each with status 206.
use std::cell::RefCell;
use std::collections::HashMap;

use ic_asset_certification::{Asset, AssetConfig, AssetRouter};
use ic_cdk::{query, update};
use ic_http_certification::{HttpRequest, HttpResponse, HttpUpdateRequest, HttpUpdateResponse, StatusCode};
use serde_bytes::ByteBuf;

thread_local! {
    static UPLOADS: RefCell<HashMap<String, Vec<u8>>> = RefCell::default();
    static ROUTER: RefCell<AssetRouter<'static>> = RefCell::default();
}

/// Appends to a file that is not served yet.
#[update]
fn append(path: String, bytes: ByteBuf) {
    UPLOADS.with_borrow_mut(|uploads| uploads.entry(path).or_default().extend(bytes.into_vec()));
}

/// Serves what was appended.
#[update]
fn publish(path: String, content_type: String) {
    let content = UPLOADS.with_borrow_mut(|uploads| uploads.remove(&path)).expect("appended");
    let config = AssetConfig::File {
        path: path.clone(),
        content_type: Some(content_type),
        headers: vec![("Accept-Ranges".into(), "bytes".into())],
        fallback_for: vec![],
        aliased_by: vec![],
        encodings: vec![],
    };
    ROUTER.with_borrow_mut(|router| {
        router.certify_assets(vec![Asset::new(path, content)], vec![config]).expect("certified");
        ic_cdk::api::certified_data_set(router.root_hash());
    });
}

/// Files by GET; what else is asked for needs an update.
#[query]
fn http_request(request: HttpRequest<'static>) -> HttpResponse<'static> {
    if request.method() != "GET" {
        return HttpResponse::builder().with_upgrade(true).build();
    }
    let certificate = ic_cdk::api::data_certificate().expect("a query");
    ROUTER.with_borrow(|router| router.serve_asset(&certificate, &request).expect("an asset"))
}

/// Shows a posted form.
#[update]
fn http_request_update(request: HttpUpdateRequest<'static>) -> HttpUpdateResponse<'static> {
    let body = [b"<!doctype html><title>posted</title><p>".as_slice(), request.body()].concat();
    HttpResponse::builder()
        .with_status_code(StatusCode::CREATED)
        .with_headers(vec![("Content-Type".into(), "text/html".into())])
        .with_body(body)
        .build_update()
}
