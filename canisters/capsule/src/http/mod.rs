//! Answers to HTTP requests, as the HTTP Gateway Protocol hands them to a canister.
//!
//! `GET` and `HEAD` of `/asset/{memory}/{variant}`, to everybody where the memory is public, else with
//! a token (`?token=` or `Authorization: Bearer`); `/health`. Answers longer than a chunk are
//! streamed. What moved is redirected by 308; of what is elsewhere a page shows the link. Everything
//! from users comes under a policy that runs nothing of it. Nothing here changes a capsule.

mod answer;
mod certify;
mod headers;
mod link_page;
mod names;
mod redirect;

pub use certify::certified_data;
pub use names::{asset_path, percent_encode, variant_name};

use crate::registry::{Residence, TokenKey};
use crate::tokens::{self, Minter, Scope, TokenError};
use answer::{Choice, Shown};
use candid::Principal;
use certify::{Certifier, Proof, HEALTH};
use headers::{header, SANDBOX};
use ic_stable_structures::memory_manager::MemoryManager;
use ic_stable_structures::{Memory as StableMemory, StableBTreeMap};
use names::{percent_decode, query_parameter, variant_of};
use serde_bytes::ByteBuf;
use storage::digest::sha256;
use storage::memory::{self, Vm};
use types::*;

/// The permission bit that fetching an asset needs: view.
const VIEW: u8 = 1;

/// The header that says what a page may do.
const POLICY: &str = "Content-Security-Policy";
const STREAMING_METHOD: &str = "http_request_streaming_callback";

/// What the HTTP side needs to know about capsules.
pub trait Assets {
    /// The capsule that has a memory with this id: an id is used once in a canister.
    fn capsule_with(&self, memory: &str) -> Option<String>;
    /// Where a capsule lives; None for an unknown one.
    fn residence(&self, capsule: &str) -> Option<Residence>;
    /// Whether operators have the capsule served to nobody; what is certified of it as well.
    fn is_suspended(&self, capsule: &str) -> bool;
    /// What tokens of a memory are told by.
    fn token_keys(&self, capsule: &str, memory: &str) -> Vec<TokenKey>;
    /// Whether the hub's tokens were good here once, and are not any more.
    fn hub_tokens_ended(&self, capsule: &str) -> bool;
    /// Whether a person has permissions on a memory, at that time.
    fn has(&self, person: Principal, permissions: u32, capsule: &str, memory: &str, at: Time) -> bool;
    fn memory(&self, capsule: &str, memory: &str) -> Option<Memory>;
    /// Whether everybody may view the memory at that time.
    fn is_public(&self, capsule: &str, memory: &str, at: Time) -> bool;
    /// Whether everybody may view the memory whatever the time: its answers are certified.
    fn is_always_public(&self, capsule: &str, memory: &str) -> bool;
    /// Bytes of a complete blob.
    fn read_blob(&self, sha256: &Digest, start: u64, length: u64) -> Option<Vec<u8>>;
    fn chunk_digest(&self, sha256: &Digest, index: u32) -> Option<Digest>;
}

/// What an answer depends on besides the request.
pub struct Context<'a> {
    /// This canister.
    pub me: Principal,
    pub now: Time,
    /// The system's certificate of this canister's certified data; None outside of queries.
    pub certificate: Option<Vec<u8>>,
    /// Hash of what stands beside `http_expr` in the certified data.
    pub beside_http: Digest,
    /// Whether somebody is an operator of this canister now.
    pub is_operator: &'a dyn Fn(&Principal) -> bool,
}

/// The HTTP side of a canister.
pub struct Http<M: StableMemory> {
    certifier: Certifier<M>,
    /// UNPUBLISHED: capsule -> id of the memory up to which its public answers are certified again
    unpublished: StableBTreeMap<String, String, Vm<M>>,
}

/// A fixed answer: status, header of its own, body.
struct Fixed {
    status: u16,
    header: Option<(&'static str, &'static str)>,
    body: &'static str,
}

const OK: Fixed = Fixed { status: 200, header: None, body: "{\"status\":\"ok\"}\n" };
const PREFLIGHT: Fixed = Fixed {
    status: 204,
    header: Some(("Access-Control-Allow-Headers", "Authorization, Range, If-None-Match, If-Range")),
    body: "",
};
const MALFORMED: Fixed = Fixed { status: 400, header: None, body: "The URL is malformed.\n" };
const TOKEN_NEEDED: Fixed =
    Fixed { status: 401, header: Some(("WWW-Authenticate", "Bearer")), body: "This asset needs a token.\n" };
const TOKEN_REFUSED: Fixed = Fixed {
    status: 401,
    header: Some(("WWW-Authenticate", "Bearer error=\"invalid_token\"")),
    body: "The token is not valid.\n",
};
const TOKEN_EXPIRED: Fixed = Fixed {
    status: 401,
    header: Some(("WWW-Authenticate", "Bearer error=\"invalid_token\", error_description=\"expired\"")),
    body: "The token has expired.\n",
};
const FORBIDDEN: Fixed = Fixed { status: 403, header: None, body: "The token is for something else.\n" };
const ENDED: Fixed = Fixed {
    status: 403,
    header: None,
    body: "This link has ended. Ask whoever gave it to you for a new one.\n",
};
const NOT_FOUND: Fixed = Fixed { status: 404, header: None, body: "There is nothing here.\n" };
const NOT_ALLOWED: Fixed =
    Fixed { status: 405, header: Some(("Allow", "GET, HEAD")), body: "Only GET and HEAD.\n" };

impl Fixed {
    fn headers(&self) -> Vec<(String, String)> {
        let kind = if self.body.starts_with('{') { "application/json" } else { "text/plain; charset=utf-8" };
        let mut headers =
            vec![("Content-Type".into(), kind.into()), ("Cache-Control".into(), "no-store".into())];
        headers.extend(self.header.map(|(name, value)| (name.to_owned(), value.to_owned())));
        common_headers(headers)
    }

    fn body(&self, method: &str) -> &'static str {
        if method == "HEAD" {
            ""
        } else {
            self.body
        }
    }
}

/// Headers of every answer, behind its own.
fn common_headers(mut headers: Vec<(String, String)>) -> Vec<(String, String)> {
    for (name, value) in [
        ("X-Content-Type-Options", "nosniff"),
        ("Referrer-Policy", "no-referrer"),
        ("Cross-Origin-Resource-Policy", "cross-origin"),
        ("Access-Control-Allow-Origin", "*"),
        ("Access-Control-Expose-Headers", "ETag, Accept-Ranges, Content-Range, Content-Disposition"),
    ] {
        headers.push((name.into(), value.into()));
    }
    if !headers.iter().any(|(name, _)| name == POLICY) {
        headers.push((POLICY.into(), SANDBOX.into()));
    }
    headers
}

/// An asset that the caller may see, or why not.
enum Visibility {
    Shown { shown: Box<Shown>, certified: bool },
    Moved(Principal),
    Refused(&'static Fixed),
}

/// A request with what its answer depends on.
struct Ask<'a> {
    request: &'a HttpRequest,
    method: &'a str,
    /// Percent-decoded.
    path: &'a str,
    context: &'a Context<'a>,
}

impl Ask<'_> {
    /// Whether the path lies where certification is skipped unless an asset is public.
    fn is_skipped(&self) -> bool {
        self.path == "/asset" || self.path.starts_with("/asset/")
    }
}

/// A request for an asset, taken apart.
struct Wanted<'a> {
    memory: String,
    variant: AssetVariant,
    token: Option<&'a str>,
}

impl<M: StableMemory> Http<M> {
    /// Opens the HTTP side. Nothing is built, however much is published.
    pub fn init(memories: &MemoryManager<M>) -> Self {
        let fixed =
            [(Some(HEALTH), &OK), (Some(HEALTH), &NOT_ALLOWED), (None, &NOT_FOUND), (None, &NOT_ALLOWED)];
        let answers = fixed.iter().flat_map(|(path, answer)| {
            ["GET", "HEAD"].map(|method| (*path, answer.status, answer.headers(), answer.body(method)))
        });
        Http {
            certifier: Certifier::init(memories, answers),
            unpublished: StableBTreeMap::init(memories.get(memory::UNPUBLISHED)),
        }
    }

    /// Hash of the labelled branch `http_expr` of the canister's certified data.
    pub fn branch_hash(&self) -> Digest {
        self.certifier.root_hash()
    }

    /// Certifies the answers of a memory if it is public, and forgets them if not. To be called after
    /// every change of the memory, of who may see it, and of where the capsule lives; the certified
    /// data is to be set afterwards. Answers how many forms were certified: it costs as much.
    pub fn refresh<A: Assets>(&mut self, assets: &A, capsule: &str, memory: &str) -> usize {
        if is_here(assets, capsule) && assets.is_always_public(capsule, memory) {
            if let Some(record) = assets.memory(capsule, memory) {
                return self.certifier.publish(capsule, &record, assets);
            }
        }
        self.certifier.withdraw(capsule, memory);
        0
    }

    /// Forgets the certified answers of a memory: if it is public it is answered without a certificate.
    pub fn withdraw(&mut self, capsule: &str, memory: &str) {
        self.certifier.withdraw(capsule, memory);
    }

    /// Forgets the certified answers of at most `limit` memories of a capsule, and answers of how many.
    pub fn withdraw_some(&mut self, capsule: &str, limit: usize) -> usize {
        self.unpublished.remove(&capsule.to_owned());
        self.certifier.withdraw_some(capsule, limit)
    }

    /// Whether any answer of a capsule is certified. If so it is given, wherever the capsule is.
    pub fn is_certified(&self, capsule: &str) -> bool {
        self.certifier.has_any(capsule)
    }

    /// Forgets all certified answers, at once.
    pub fn reset(&mut self) {
        self.certifier.reset();
    }

    /// Notes that the public answers of a capsule are to be certified again, from behind a memory on.
    pub fn publish_from(&mut self, capsule: &str, after: &str) {
        self.unpublished.insert(capsule.to_owned(), after.to_owned());
    }

    /// Notes that they are.
    pub fn published(&mut self, capsule: &str) {
        self.unpublished.remove(&capsule.to_owned());
    }

    /// A capsule whose public answers are to be certified again, and from behind which memory on.
    pub fn next_unpublished(&self) -> Option<(String, String)> {
        self.unpublished.first_key_value()
    }

    /// Answers a request.
    pub fn respond<A: Assets>(&self, request: &HttpRequest, assets: &A, context: &Context) -> HttpResponse {
        let method = request.method.as_str();
        let (path, query) = request.url.split_once('?').unwrap_or((&request.url, ""));
        let clean = request.url.bytes().all(|byte| byte.is_ascii_graphic());
        let decoded = percent_decode(path).filter(|_| clean);
        let ask = Ask { request, method, path: decoded.as_deref().unwrap_or("/asset"), context };
        let reads = matches!(method, "GET" | "HEAD");
        if !ask.is_skipped() {
            return self.fixed(
                &ask,
                if !reads {
                    &NOT_ALLOWED
                } else if ask.path == HEALTH {
                    &OK
                } else {
                    &NOT_FOUND
                },
                assets,
            );
        }
        if decoded.is_none() {
            return self.fixed(&ask, &MALFORMED, assets);
        }
        if !reads {
            return self.fixed(&ask, if method == "OPTIONS" { &PREFLIGHT } else { &NOT_ALLOWED }, assets);
        }
        let Some(wanted) = Wanted::of(request, path, query) else {
            return self.fixed(&ask, &NOT_FOUND, assets);
        };
        match self.visibility(&wanted, assets, context) {
            Visibility::Refused(answer) => self.fixed(&ask, answer, assets),
            Visibility::Moved(to) => {
                let location = redirect::moved_location(request, context.me, to);
                let headers =
                    vec![("Location".into(), location), ("Cache-Control".into(), "no-store".into())];
                let mut response = response(308, headers, Vec::new());
                self.certifier.seal(&mut response, &Proof::Skip, ask.path, sha256(b""), assets, context);
                response
            }
            Visibility::Shown { shown, certified } => self.asset(&ask, &wanted, &shown, certified, assets),
        }
    }

    /// The next part of a streamed answer. None where it may not be seen any more, or has changed:
    /// the caller breaks the stream off.
    pub fn stream<A: Assets>(
        &self,
        token: &StreamingToken,
        assets: &A,
        context: &Context,
    ) -> Option<StreamingCallbackResponse> {
        let wanted = Wanted {
            memory: token.memory_id.clone(),
            variant: variant_of(&token.variant_)?,
            token: token.token.as_deref(),
        };
        let Visibility::Shown { shown, .. } = self.visibility(&wanted, assets, context) else { return None };
        if shown.sha256[..] != token.sha256[..] || token.index >= chunk_count(shown.length) {
            return None;
        }
        let body = ByteBuf::from(shown.chunk(token.index, assets)?);
        Some(StreamingCallbackResponse { body, token: next_token(&wanted, &shown, token.index + 1) })
    }

    fn asset<A: Assets>(
        &self,
        ask: &Ask,
        wanted: &Wanted,
        shown: &Shown,
        certified: bool,
        assets: &A,
    ) -> HttpResponse {
        // Who asks for no certificate gets any range; so does who needs a token.
        let verified = ask.request.certificate_version.is_some_and(|version| version >= 2);
        let (choice, proof, hash) = if certified && verified {
            let form = shown.choose_form(ask.request);
            let (memory, variant) = (wanted.memory.clone(), wanted.variant.clone());
            let hash = shown.body_hash(form.choice, ask.method, assets);
            let proof = Proof::Public { memory, variant, method: form.method, condition: form.condition };
            (form.choice, proof, hash)
        } else {
            (shown.choose(ask.request), Proof::Skip, Some([0; 32]))
        };
        let (Some(body), Some(hash)) = (shown.body(choice, ask.method, assets), hash) else {
            return self.fixed(ask, &NOT_FOUND, assets);
        };
        let (status, headers) = shown.head(choice, ask.method);
        let mut response = response(status, headers, body);
        if choice == Choice::Whole && ask.method != "HEAD" {
            response.streaming_strategy =
                next_token(wanted, shown, 1).map(|token| StreamingStrategy::Callback {
                    callback: StreamingCallback::new(ask.context.me, STREAMING_METHOD.into()),
                    token,
                });
        }
        // where an answer is certified no other has a proof
        if verified || !certified {
            self.certifier.seal(&mut response, &proof, ask.path, hash, assets, ask.context);
        }
        response
    }

    fn fixed<A: Assets>(&self, ask: &Ask, answer: &Fixed, assets: &A) -> HttpResponse {
        let body = answer.body(ask.method).as_bytes();
        let mut response = HttpResponse {
            status_code: answer.status,
            headers: answer.headers(),
            body: ByteBuf::from(body),
            streaming_strategy: None,
            upgrade: None,
        };
        let proof = if ask.is_skipped() { Proof::Skip } else { Proof::Fixed };
        self.certifier.seal(&mut response, &proof, ask.path, sha256(body), assets, ask.context);
        response
    }

    /// Whether the asset may be seen: by everybody, or with the token. Of a moved one the personal
    /// canister decides. What is certified is shown as it is certified until it is withdrawn, whatever
    /// has become of its capsule meanwhile: any other answer would be taken for a forgery.
    fn visibility<A: Assets>(&self, wanted: &Wanted, assets: &A, context: &Context) -> Visibility {
        let here = assets.capsule_with(&wanted.memory);
        let is_shown =
            |capsule: &&String| self.certifier.has(capsule, &wanted.memory) && !assets.is_suspended(capsule);
        if let Some(capsule) = here.as_ref().filter(is_shown) {
            return show(capsule, wanted, Reason::Certified, assets);
        }
        visibility(here, wanted, assets, context)
    }
}

impl<'a> Wanted<'a> {
    fn of(request: &'a HttpRequest, path: &str, query: &'a str) -> Option<Self> {
        let (memory, variant) = path.strip_prefix("/asset/")?.split_once('/')?;
        if variant.contains('/') {
            return None;
        }
        let bearer = header(request, "authorization").and_then(|value| {
            let (scheme, token) = value.split_once(' ')?;
            scheme.eq_ignore_ascii_case("bearer").then_some(token.trim())
        });
        Some(Wanted {
            memory: percent_decode(memory)?,
            variant: variant_of(&percent_decode(variant)?)?,
            token: query_parameter(query, "token").or(bearer),
        })
    }
}

/// The same of an asset that is not certified.
fn visibility<A: Assets>(here: Option<String>, wanted: &Wanted, assets: &A, context: &Context) -> Visibility {
    let claimed = || wanted.token.and_then(|token| tokens::claims(token).ok()).map(|scope| scope.capsule);
    // Of a retired capsule only its residence is known, and only a token tells which capsule it is.
    let capsule = here.or_else(claimed);
    let residence = capsule.as_deref().and_then(|capsule| assets.residence(capsule));
    let (Some(capsule), Some(residence)) = (capsule, residence) else {
        return Visibility::Refused(if wanted.token.is_some() { &TOKEN_REFUSED } else { &TOKEN_NEEDED });
    };
    if let Residence::MovedTo(to) = residence {
        return Visibility::Moved(to);
    }
    if assets.is_public(&capsule, &wanted.memory, context.now) {
        return show(&capsule, wanted, Reason::Public, assets);
    }
    let Some(token) = wanted.token else { return Visibility::Refused(&TOKEN_NEEDED) };
    match judge(token, wanted, &capsule, assets, context) {
        Ok(()) => show(&capsule, wanted, Reason::Token, assets),
        Err(refusal) => Visibility::Refused(refusal),
    }
}

/// Whether a token opens an asset: signed here, for it, not expired, not revoked, and by somebody who
/// may still view it.
fn judge<A: Assets>(
    token: &str,
    wanted: &Wanted,
    capsule: &str,
    assets: &A,
    context: &Context,
) -> Result<(), &'static Fixed> {
    let (variant, now) = (variant_name(&wanted.variant), context.now / 1_000_000_000);
    let verified =
        assets.token_keys(capsule, &wanted.memory).into_iter().find_map(|key| {
            match tokens::verify(&key.secret, token, &wanted.memory, &variant, VIEW, now) {
                Err(TokenError::WrongSignature) => None,
                other => Some(other.map(|scope| (scope, key.from))),
            }
        });
    let (scope, from) = verified.unwrap_or(Err(TokenError::WrongSignature)).map_err(|error| match error {
        TokenError::Expired => &TOKEN_EXPIRED,
        TokenError::WrongScope => &FORBIDDEN,
        TokenError::WrongSignature if tokens::claims(token).is_ok() && assets.hub_tokens_ended(capsule) => {
            &ENDED
        }
        TokenError::Malformed | TokenError::WrongSignature => &TOKEN_REFUSED,
    })?;
    if scope.capsule != capsule {
        return Err(&FORBIDDEN);
    }
    if scope.revocations < from || !may_still(&scope, assets, context) {
        return Err(&ENDED);
    }
    Ok(())
}

/// Whether the right by which a token was made is there now.
fn may_still<A: Assets>(scope: &Scope, assets: &A, context: &Context) -> bool {
    match scope.minter {
        Minter::Person(person) => {
            assets.has(person, scope.permissions.into(), &scope.capsule, &scope.memory, context.now)
        }
        Minter::Operator(operator) => (context.is_operator)(&operator),
    }
}

/// Why an asset may be seen.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reason {
    Certified,
    Public,
    Token,
}

fn show<A: Assets>(capsule: &str, wanted: &Wanted, reason: Reason, assets: &A) -> Visibility {
    let memory = assets.memory(capsule, &wanted.memory);
    let asset =
        memory.and_then(|memory| memory.assets.into_iter().find(|asset| asset.variant_ == wanted.variant));
    match asset.and_then(|asset| Shown::new(asset, reason != Reason::Token)) {
        Some(shown) => Visibility::Shown { shown: Box::new(shown), certified: reason == Reason::Certified },
        None => Visibility::Refused(&NOT_FOUND),
    }
}

fn is_here<A: Assets>(assets: &A, capsule: &str) -> bool {
    assets.residence(capsule).is_some_and(|residence| !matches!(residence, Residence::MovedTo(_)))
}

fn next_token(wanted: &Wanted, shown: &Shown, index: u32) -> Option<StreamingToken> {
    (index < chunk_count(shown.length)).then(|| StreamingToken {
        memory_id: wanted.memory.clone(),
        variant_: variant_name(&wanted.variant),
        sha256: ByteBuf::from(shown.sha256),
        index,
        token: wanted.token.map(str::to_owned),
    })
}

fn response(status_code: u16, headers: Vec<(String, String)>, body: Vec<u8>) -> HttpResponse {
    HttpResponse {
        status_code,
        headers: common_headers(headers),
        body: ByteBuf::from(body),
        streaming_strategy: None,
        upgrade: None,
    }
}

#[cfg(test)]
mod tests;
