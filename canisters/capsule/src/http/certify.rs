//! Response certification (HTTP Gateway Protocol Specification, "Response Verification", version 2).
//!
//! ```text
//! expression path         certification
//! /health            <$>  response only: the fixed answers
//! /asset/{m}/{v}     <$>  public assets: request (method, and Range or If-None-Match) and response
//! /asset             <*>  skip: answers that depend on a token, and everything else below /asset
//!                    <*>  response only: the fixed answers
//! ```
//!
//! What is skipped is skipped by the canister's own word, so gateways take it, but only where no
//! certified answer is: a public asset's path is more specific, so nobody can pass off other bytes
//! there. Every header of an answer is certified but IC-Certificate itself.

use super::answer::Shown;
use super::names::tree_path;
use super::{Assets, Context};
use ic_certification::hash_tree::fork_hash;
use ic_certification::{fork, pruned};
use ic_http_certification::utils::{build_v2_certificate_header_value, cbor_encode_to_base64};
use ic_http_certification::{
    DefaultCelBuilder, DefaultFullCelExpression, DefaultResponseCertification,
    DefaultResponseOnlyCelExpression, HttpCertification, HttpCertificationPath, HttpCertificationTree,
    HttpCertificationTreeEntry, Method, StatusCode, CERTIFICATE_EXPRESSION_HEADER_NAME,
    CERTIFICATE_HEADER_NAME,
};
use storage::digest::sha256;
use types::{AssetVariant, Digest, HttpResponse};

type Headers = Vec<(String, String)>;

/// How an answer is certified.
pub(super) enum Proof {
    Skip,
    /// A fixed answer at `/health` or anywhere else.
    Fixed,
    /// A form of a public asset.
    Public {
        memory: String,
        variant: AssetVariant,
        method: &'static str,
        condition: Option<(&'static str, String)>,
    },
}

pub(super) struct Certifier {
    tree: HttpCertificationTree,
}

impl Certifier {
    /// A tree that certifies these fixed answers, each as (path or none, status, headers, body).
    pub fn new(fixed: impl Iterator<Item = (Option<&'static str>, u16, Headers, &'static str)>) -> Self {
        let mut tree = HttpCertificationTree::default();
        tree.insert(&HttpCertificationTreeEntry::new(skipped_path(), HttpCertification::skip()));
        for (path, status, headers, body) in fixed {
            let (certification, _) = certify(&Proof::Fixed, status, &headers, sha256(body.as_bytes()));
            tree.insert(&HttpCertificationTreeEntry::new(fixed_path(path), certification));
        }
        Certifier { tree }
    }

    /// The hash of the branch `http_expr` of the canister's certified data.
    pub fn root_hash(&self) -> Digest {
        self.tree.root_hash()
    }

    /// Certifies all forms of a public asset.
    pub fn insert<A: Assets>(&mut self, memory: &str, variant: &AssetVariant, shown: &Shown, assets: &A) {
        for form in shown.forms() {
            let (status, headers) = shown.head(form.choice, form.method);
            let Some(hash) = shown.body_hash(form.choice, form.method, assets) else { continue };
            let proof = Proof::Public {
                memory: memory.to_owned(),
                variant: variant.clone(),
                method: form.method,
                condition: form.condition,
            };
            let (certification, _) = certify(&proof, status, &super::common_headers(headers), hash);
            let path = HttpCertificationPath::exact(tree_path(memory, variant));
            self.tree.insert(&HttpCertificationTreeEntry::new(path, certification));
        }
    }

    /// Forgets a public asset.
    pub fn remove(&mut self, memory: &str, variant: &AssetVariant) {
        self.tree.delete_by_path(&HttpCertificationPath::exact(tree_path(memory, variant)));
    }

    /// Adds the two certificate headers to an answer; `path` is the request's, percent-decoded.
    pub fn seal(
        &self,
        response: &mut HttpResponse,
        proof: &Proof,
        path: &str,
        hash: Digest,
        context: &Context,
    ) {
        let Some(certificate) = &context.certificate else { return };
        let (certification, expression) = certify(proof, response.status_code, &response.headers, hash);
        let place = match proof {
            Proof::Skip => skipped_path(),
            Proof::Fixed => fixed_path((path == HEALTH).then_some(HEALTH)),
            Proof::Public { memory, variant, .. } => HttpCertificationPath::exact(tree_path(memory, variant)),
        };
        let expr_path = cbor_encode_to_base64(&place.to_expr_path());
        let entry = HttpCertificationTreeEntry::new(place, certification);
        let Ok(witness) = self.tree.witness(&entry, path) else { return };
        let witness = fork(witness, pruned(context.manifest_branch));
        let value = build_v2_certificate_header_value(certificate, &witness, &expr_path);
        response.headers.push((CERTIFICATE_EXPRESSION_HEADER_NAME.into(), expression));
        response.headers.push((CERTIFICATE_HEADER_NAME.into(), value));
    }
}

pub(super) const HEALTH: &str = "/health";

/// A canister's certified data: its two branches `http_expr` and `manifest`, each given by the hash of
/// the labelled branch.
pub fn certified_data(http_branch: &Digest, manifest_branch: &Digest) -> Digest {
    fork_hash(http_branch, manifest_branch)
}

fn fixed_path(path: Option<&'static str>) -> HttpCertificationPath<'static> {
    path.map_or(HttpCertificationPath::wildcard(""), HttpCertificationPath::exact)
}

fn skipped_path() -> HttpCertificationPath<'static> {
    HttpCertificationPath::wildcard("/asset")
}

fn all_headers<'a>() -> DefaultResponseCertification<'a> {
    DefaultResponseCertification::response_header_exclusions(vec![])
}

fn response_only() -> DefaultResponseOnlyCelExpression<'static> {
    DefaultCelBuilder::response_only_certification().with_response_certification(all_headers()).build()
}

fn with_request<'a>(headers: Vec<&'a str>) -> DefaultFullCelExpression<'a> {
    DefaultCelBuilder::full_certification()
        .with_request_headers(headers)
        .with_response_certification(all_headers())
        .build()
}

/// The certification of an answer, and the value of its IC-CertificateExpression header.
fn certify(proof: &Proof, status: u16, headers: &Headers, body_hash: Digest) -> (HttpCertification, String) {
    let response = |expression: &str| {
        let mut headers = headers.clone();
        headers.push((CERTIFICATE_EXPRESSION_HEADER_NAME.into(), expression.to_owned()));
        ic_http_certification::HttpResponse::builder()
            .with_status_code(StatusCode::from_u16(status).expect("a status code of our own"))
            .with_headers(headers)
            .build()
    };
    match proof {
        Proof::Skip => (HttpCertification::skip(), DefaultCelBuilder::skip_certification().to_string()),
        Proof::Fixed => {
            let rule = response_only();
            let expression = rule.to_string();
            let certification =
                HttpCertification::response_only(&rule, &response(&expression), Some(body_hash));
            (certification.expect("the response carries the expression"), expression)
        }
        Proof::Public { method, condition, .. } => {
            let rule = with_request(condition.iter().map(|(name, _)| *name).collect());
            let expression = rule.to_string();
            let request = ic_http_certification::HttpRequest::builder()
                .with_method(Method::from_bytes(method.as_bytes()).expect("a method of our own"))
                .with_url("/")
                .with_headers(
                    condition.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect(),
                )
                .build();
            let certification =
                HttpCertification::full(&rule, &request, &response(&expression), Some(body_hash));
            (certification.expect("the response carries the expression"), expression)
        }
    }
}
