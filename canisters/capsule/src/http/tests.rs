use super::*;
use blobs::Blobs;
use ic_certification::{fork, labeled, leaf, Certificate};
use ic_response_verification::verify_request_response_pair;
use ic_stable_structures::VectorMemory;
use ic_verify_bls_signature::PrivateKey;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;
use types::limits::CHUNK_SIZE;

const NOW: Time = 1_800_000_000_000_000_000;
const SECRET: [u8; 32] = [5; 32];
const BESIDE_HTTP: Digest = [8; 32];

static LONG: LazyLock<Vec<u8>> =
    LazyLock::new(|| (0..2 * CHUNK_SIZE + 100).map(|at| (at >> 5) as u8).collect());

fn hub() -> Principal {
    Principal::from_slice(&[1; 10])
}

fn guest() -> Principal {
    Principal::from_slice(&[3; 10])
}

fn operator() -> Principal {
    Principal::from_slice(&[4; 10])
}

fn personal() -> Principal {
    Principal::from_slice(&[2; 10])
}

/// A small canister: one store of blobs, memories by capsule, the HTTP side over it.
struct World {
    memories: VectorMemory,
    blobs: Blobs<VectorMemory>,
    records: BTreeMap<(String, String), Memory>,
    public: BTreeSet<(String, String)>,
    scheduled: BTreeSet<(String, String)>,
    moved: BTreeSet<String>,
    /// Who may view and download everything, for an hour.
    guest: Option<Principal>,
    tokens_from: u32,
    hub_tokens_ended: bool,
    key: PrivateKey,
}

impl Assets for World {
    fn capsule_with(&self, memory: &str) -> Option<String> {
        self.records.keys().find(|(_, id)| id == memory).map(|(capsule, _)| capsule.clone())
    }

    fn is_suspended(&self, _: &str) -> bool {
        false
    }

    fn residence(&self, capsule: &str) -> Option<Residence> {
        let known = self.records.keys().any(|(id, _)| id == capsule);
        known.then(
            || if self.moved.contains(capsule) { Residence::MovedTo(personal()) } else { Residence::Hub },
        )
    }

    fn token_keys(&self, _: &str, _: &str) -> Vec<TokenKey> {
        vec![TokenKey { secret: ByteBuf::from(SECRET), from: self.tokens_from }]
    }

    fn hub_tokens_ended(&self, _: &str) -> bool {
        self.hub_tokens_ended
    }

    fn has(&self, person: Principal, permissions: u32, _: &str, _: &str, at: Time) -> bool {
        self.guest == Some(person) && permissions & !3 == 0 && at < NOW + 3_600_000_000_000
    }

    fn memory(&self, capsule: &str, memory: &str) -> Option<Memory> {
        self.records.get(&(capsule.into(), memory.into())).cloned()
    }

    fn is_public(&self, capsule: &str, memory: &str, at: Time) -> bool {
        let key = (capsule.into(), memory.into());
        self.public.contains(&key) || (self.scheduled.contains(&key) && at >= NOW)
    }

    fn is_always_public(&self, capsule: &str, memory: &str) -> bool {
        self.public.contains(&(capsule.into(), memory.into()))
    }

    fn read_blob(&self, sha256: &Digest, start: u64, length: u64) -> Option<Vec<u8>> {
        self.blobs.read(sha256, start, length)
    }

    fn chunk_digest(&self, sha256: &Digest, index: u32) -> Option<Digest> {
        self.blobs.chunk_digest(sha256, index)
    }
}

fn asset(variant: AssetVariant, name: &str, location: AssetLocation) -> Asset {
    Asset {
        variant_: variant,
        name: name.into(),
        description: None,
        mime_type: "image/jpeg".into(),
        tags: Vec::new(),
        detail: AssetDetail::Note { format: None, language: None, word_count: None },
        location,
        created_at: NOW,
        updated_at: NOW,
    }
}

impl World {
    /// A memory "Zoë 1" of capsule "a" with an original of three chunks, a small inline thumbnail, an
    /// empty placeholder, and metadata elsewhere.
    fn new() -> (World, Http<VectorMemory>) {
        let memories = VectorMemory::default();
        let manager = storage::memory::manager(memories.clone(), 16);
        let mut blobs = Blobs::init(&manager);
        for bytes in [&LONG[..], b""] {
            let sha = sha256(bytes);
            blobs.begin_upload("a", &sha, bytes.len() as u64, &Quotas::HUB, 0).unwrap();
            for (index, chunk) in bytes.chunks(CHUNK_SIZE as usize).enumerate() {
                blobs.put_chunk("a", &sha, index as u32, chunk, 0).unwrap();
            }
            assert!(blobs.finish_upload("a", &sha).unwrap().complete);
        }
        let blob = |bytes: &[u8]| AssetLocation::Internal {
            sha256: ByteBuf::from(sha256(bytes)),
            length: bytes.len() as u64,
        };
        let elsewhere =
            AssetLocation::External { url: "https://example.org/m.json".into(), sha256: None, length: None };
        let memory = Memory {
            id: "Zoë 1".into(),
            capsule_id: "a".into(),
            metadata: MemoryMetadata {
                memory_type: MemoryType::Image,
                title: None,
                description: None,
                content_type: "image/jpeg".into(),
                tags: Vec::new(),
                people: Vec::new(),
                location: None,
                notes: None,
                parent_folder_id: None,
                created_by: None,
                created_at: NOW,
                updated_at: NOW,
                uploaded_at: NOW,
                file_created_at: None,
                date_of_memory: None,
            },
            assets: vec![
                asset(AssetVariant::Original, "Zoë at \"sea\".jpg", blob(&LONG)),
                asset(
                    AssetVariant::Thumbnail,
                    "t.jpg",
                    AssetLocation::Inline(ByteBuf::from(b"small".to_vec())),
                ),
                asset(AssetVariant::Placeholder, "", blob(b"")),
                asset(AssetVariant::Metadata, "m.json", elsewhere),
                asset(
                    AssetVariant::Other("mp4/low".into()),
                    "x",
                    AssetLocation::Inline(ByteBuf::from(b"low".to_vec())),
                ),
            ],
        };
        let world = World {
            memories,
            blobs,
            records: BTreeMap::from([(("a".into(), "Zoë 1".into()), memory)]),
            public: BTreeSet::new(),
            scheduled: BTreeSet::new(),
            moved: BTreeSet::new(),
            guest: Some(guest()),
            tokens_from: 0,
            hub_tokens_ended: false,
            key: PrivateKey::deserialize(&[7; 32]).unwrap(),
        };
        let http = Http::init(&manager);
        (world, http)
    }

    fn publish(&mut self, http: &mut Http<VectorMemory>) {
        self.public.insert(("a".into(), "Zoë 1".into()));
        http.refresh(self, "a", "Zoë 1");
    }

    /// The system: a certificate over the canister's certified data.
    fn certificate(&self, http: &Http<VectorMemory>) -> Vec<u8> {
        let data = certified_data(&http.branch_hash(), &BESIDE_HTTP);
        let mut time = Vec::new();
        let mut rest = NOW;
        while rest >= 0x80 {
            time.push(rest as u8 | 0x80);
            rest >>= 7;
        }
        time.push(rest as u8);
        let canister = labeled(hub().as_slice(), labeled("certified_data", leaf(data)));
        let tree = fork(labeled("canister", canister), labeled("time", leaf(time)));
        let message = [&b"\x0dic-state-root"[..], &tree.digest()].concat();
        let signature = self.key.sign(&message).serialize().to_vec();
        let mut bytes = vec![0xd9, 0xd9, 0xf7];
        ciborium::into_writer(&Certificate { tree, signature, delegation: None }, &mut bytes).unwrap();
        bytes
    }

    fn root_key(&self) -> Vec<u8> {
        let prefix = b"\x30\x81\x82\x30\x1d\x06\x0d\x2b\x06\x01\x04\x01\x82\xdc\x7c\x05\x03\x01\x02\x01\x06\x0c\x2b\x06\x01\x04\x01\x82\xdc\x7c\x05\x03\x02\x01\x03\x61\x00";
        [&prefix[..], &self.key.public_key().serialize()].concat()
    }

    fn ask(&self, http: &Http<VectorMemory>, request: &HttpRequest) -> HttpResponse {
        http.respond(request, self, &self.context(http))
    }

    fn context(&self, http: &Http<VectorMemory>) -> Context<'static> {
        Context {
            me: hub(),
            now: NOW,
            certificate: Some(self.certificate(http)),
            beside_http: BESIDE_HTTP,
            is_operator: &|principal| *principal == operator(),
        }
    }

    /// What a gateway does: asks, collects the stream, and verifies with the official verifier.
    /// None where the verification skipped, else the verified status.
    fn fetch(&self, http: &Http<VectorMemory>, request: &HttpRequest) -> (HttpResponse, Option<u16>) {
        let mut answer = self.ask(http, request);
        let context = self.context(http);
        let mut strategy = answer.streaming_strategy.take();
        while let Some(StreamingStrategy::Callback { callback, token }) = strategy {
            let part = http.stream(&token, self, &context).expect("a part of the stream");
            answer.body.extend_from_slice(&part.body);
            strategy =
                part.token.map(|token| StreamingStrategy::Callback { callback: callback.clone(), token });
        }
        let verified = self.verify(request, &answer).unwrap();
        (answer, verified)
    }

    fn verify(&self, request: &HttpRequest, answer: &HttpResponse) -> Result<Option<u16>, String> {
        use ic_http_certification::{HttpRequest as Request, HttpResponse as Response};
        let asked = Request::builder()
            .with_method(Method::from_bytes(request.method.as_bytes()).unwrap())
            .with_url(request.url.clone())
            .with_headers(request.headers.clone())
            .build();
        let answered = Response::builder()
            .with_status_code(StatusCode::from_u16(answer.status_code).unwrap())
            .with_headers(answer.headers.clone())
            .with_body(answer.body.as_slice())
            .build();
        let time = u128::from(NOW);
        verify_request_response_pair(
            asked,
            answered,
            hub().as_slice(),
            time,
            300_000_000_000,
            &self.root_key(),
            2,
        )
        .map(|info| info.response.and_then(|response| response.status_code))
        .map_err(|error| error.to_string())
    }
}

use ic_http_certification::{Method, StatusCode};

const LINK: &[u8] = b"<!doctype html>\n<meta charset=\"utf-8\">\n<title>Kept elsewhere</title>\n<p>This file is not kept here. Its owner says that it is at:</p>\n<p><a href=\"https://example.org/m.json\" rel=\"noopener noreferrer nofollow\">https://example.org/m.json</a></p>\n";
const ORIGINAL: &str = "/asset/Zo%C3%AB%201/original";

fn get(url: &str) -> HttpRequest {
    HttpRequest {
        method: "GET".into(),
        url: url.into(),
        headers: vec![("Host".into(), format!("{}.localhost:4943", hub()))],
        body: ByteBuf::new(),
        certificate_version: Some(2),
    }
}

fn with(mut request: HttpRequest, name: &str, value: &str) -> HttpRequest {
    request.headers.push((name.into(), value.into()));
    request
}

fn method(name: &str, url: &str) -> HttpRequest {
    HttpRequest { method: name.into(), ..get(url) }
}

fn value<'a>(answer: &'a HttpResponse, name: &str) -> &'a str {
    answer.headers.iter().find(|(key, _)| key == name).map_or("", |(_, value)| value)
}

fn token(scope: impl FnOnce(&mut tokens::Scope)) -> String {
    let mut claims = tokens::Scope {
        capsule: "a".into(),
        memory: "Zoë 1".into(),
        variant: "original".into(),
        permissions: 3,
        expires: NOW / 1_000_000_000 + 60,
        revocations: 5,
        minter: Minter::Person(guest()),
    };
    scope(&mut claims);
    tokens::mint(&SECRET, &claims).unwrap()
}

fn private(scope: impl FnOnce(&mut tokens::Scope)) -> HttpRequest {
    get(&format!("{ORIGINAL}?token={}", token(scope)))
}

// ---- public assets: every answer is certified -------------------------------------------------------

#[test]
fn a_public_asset_is_streamed_whole_and_verified() {
    let (mut world, mut http) = World::new();
    world.publish(&mut http);
    let (answer, verified) = world.fetch(&http, &get(&format!("{ORIGINAL}?canisterId={}", hub())));
    assert_eq!((answer.status_code, verified), (200, Some(200)));
    assert!(answer.body[..] == LONG[..]);
    assert_eq!(value(&answer, "Content-Type"), "image/jpeg");
    assert_eq!(
        value(&answer, "Content-Disposition"),
        "inline; filename=\"Zo_ at _sea_.jpg\"; filename*=UTF-8''Zo%C3%AB%20at%20%22sea%22.jpg"
    );
    assert_eq!(value(&answer, "ETag"), format!("\"{}\"", storage::digest::hex(&sha256(&LONG))));
}

/// Ids that begin with each other, that mean something in the tree, that lie around others.
#[test]
fn between_public_memories_it_is_proved_that_the_others_are_not_certified() {
    let (mut world, mut http) = World::new();
    let record = world.records[&("a".into(), "Zoë 1".into())].clone();
    let certified = ["a", "a ", "aa", "ab", "b", "!", "~", "Zoë 1"];
    let skipped = ["<*>", "<$>", "a/b", "a/thumbnail", "/"];
    for id in certified.into_iter().chain(skipped) {
        let record = Memory { id: id.into(), ..record.clone() };
        world.records.insert(("a".into(), id.into()), record);
        world.public.insert(("a".into(), id.into()));
        assert_eq!(http.refresh(&world, "a", id) > 0, certified.contains(&id), "{id}");
    }
    let url = |id: &str, rest: &str| format!("/asset/{}{rest}", percent_encode(id));
    for id in certified {
        let (answer, verified) = world.fetch(&http, &get(&url(id, "/thumbnail")));
        assert_eq!((answer.status_code, verified), (200, Some(200)), "{id}");
        for rest in [
            "",
            "/",
            "/display",
            "/thumbnail/",
            "/thumbnail/x",
            "/other:mp4",
            "/other:mp4%2Fhigh",
            "/%3C*%3E",
        ] {
            let (answer, verified) = world.fetch(&http, &get(&url(id, rest)));
            assert_eq!((answer.status_code, verified), (404, None), "{id}{rest}");
        }
    }
    for id in skipped {
        let (answer, verified) = world.fetch(&http, &get(&url(id, "/thumbnail")));
        // the verifier takes the path apart after decoding it: these are below the memory "a"
        assert_eq!((answer.status_code, verified), (200, None), "{id}");
    }
    for id in ["", "\u{1}", " ", "0", "A", "a!", "aaa", "b0", "z", "ÿ", &"z".repeat(300)] {
        let (answer, verified) = world.fetch(&http, &get(&url(id, "/thumbnail")));
        assert_eq!(verified, None, "{id}");
        assert_eq!(answer.status_code, 401, "{id}");
    }
    for deep in ["/a", "/thumbnail/", "//"] {
        let (answer, verified) = world.fetch(&http, &get(&url("a", &deep.repeat(100))));
        assert_eq!((answer.status_code, verified), (404, None), "{deep}");
    }
    // nor is any of them taken for a certified one
    let (answer, _) = world.fetch(&http, &get("/asset/aaa/thumbnail"));
    for id in certified {
        assert!(world.verify(&get(&url(id, "/thumbnail")), &answer).is_err(), "{id}");
    }
    for id in certified {
        http.withdraw("a", id);
        let (answer, verified) = world.fetch(&http, &get(&url(id, "/thumbnail")));
        assert_eq!((answer.status_code, verified), (200, None), "{id}");
    }
    assert!(!http.is_certified("a"));
    assert_eq!(http.branch_hash(), World::new().1.branch_hash());
}

#[test]
fn a_forged_byte_or_header_or_status_of_a_public_asset_is_found() {
    let (mut world, mut http) = World::new();
    world.publish(&mut http);
    let request = get("/asset/Zo%C3%AB%201/thumbnail");
    let (answer, _) = world.fetch(&http, &request);
    let forge = |change: fn(&mut HttpResponse)| {
        let mut forged = answer.clone();
        change(&mut forged);
        world.verify(&request, &forged)
    };
    assert_eq!(forge(|_| {}), Ok(Some(200)));
    assert!(forge(|answer| answer.body[0] ^= 1).is_err());
    assert!(forge(|answer| answer.headers[0].1.push('x')).is_err());
    assert!(forge(|answer| answer.status_code = 201).is_err());
    // Nor may an answer that skips certification stand in for it.
    let (skipped, verified) = world.fetch(&http, &get("/asset/other/original"));
    assert_eq!((skipped.status_code, verified), (401, None));
    assert!(world.verify(&request, &skipped).is_err());
}

#[test]
fn every_form_of_request_for_a_public_asset_is_verified() {
    let (mut world, mut http) = World::new();
    world.publish(&mut http);
    let tag = format!("\"{}\"", storage::digest::hex(&sha256(&LONG)));
    let last = LONG.len() - 1;
    let second = CHUNK_SIZE as usize..2 * CHUNK_SIZE as usize;
    for (request, status, body) in [
        (method("HEAD", ORIGINAL), 200, &b""[..]),
        (with(get(ORIGINAL), "If-None-Match", &tag), 304, b""),
        (with(get(ORIGINAL), "If-None-Match", "\"other\""), 200, &LONG),
        (with(get(ORIGINAL), "Range", "bytes=0-"), 206, &LONG[..CHUNK_SIZE as usize]),
        (with(get(ORIGINAL), "range", "bytes=1900000-"), 206, &LONG[second.clone()]),
        (with(get(ORIGINAL), "Range", &format!("bytes=1900000-{last}")), 206, &LONG[second]),
        (with(get(ORIGINAL), "Range", "bytes=0-1"), 206, &LONG[..2]),
        (with(with(get(ORIGINAL), "Range", "bytes=0-1"), "If-Range", &tag), 206, &LONG[..2]),
        (with(with(get(ORIGINAL), "Range", "bytes=1900000-"), "If-Range", "\"old\""), 200, &LONG),
        // no certificate can exist for any range: the whole is answered
        (with(get(ORIGINAL), "Range", "bytes=5-9"), 200, &LONG),
        (get("/asset/Zo%C3%AB%201/thumbnail"), 200, b"small"),
        (with(get("/asset/Zo%C3%AB%201/thumbnail"), "Range", "bytes=0-"), 206, b"small"),
        (get("/asset/Zo%C3%AB%201/placeholder"), 200, b""),
        (method("HEAD", "/asset/Zo%C3%AB%201/placeholder"), 200, b""),
        (get("/asset/Zo%C3%AB%201/metadata"), 200, LINK),
        (method("HEAD", "/asset/Zo%C3%AB%201/metadata"), 200, b""),
        (get("/asset/Zo%C3%AB%201/other:mp4%2Flow"), 200, b"low"),
    ] {
        let (answer, verified) = world.fetch(&http, &request);
        assert_eq!((answer.status_code, verified), (status, Some(status)), "{request:?}");
        assert!(answer.body[..] == *body, "{request:?}");
    }
}

#[test]
fn a_reader_without_verification_gets_any_range_of_a_public_asset() {
    let (mut world, mut http) = World::new();
    world.publish(&mut http);
    let mut request = with(get(ORIGINAL), "Range", "bytes=5-9");
    request.certificate_version = None;
    let answer = world.ask(&http, &request);
    assert_eq!((answer.status_code, &answer.body[..]), (206, &LONG[5..10]));
    assert_eq!(value(&answer, "Content-Range"), format!("bytes 5-9/{}", LONG.len()));
}

#[test]
fn fixed_answers_are_verified_everywhere_else() {
    let (mut world, mut http) = World::new();
    world.publish(&mut http);
    for (request, status) in [
        (get("/health"), 200),
        (method("HEAD", "/health"), 200),
        (method("POST", "/health"), 405),
        (get("/"), 404),
        (get("/favicon.ico?x=y"), 404),
        (get("/a/b/c%20d/"), 404),
        (method("HEAD", "/nothing"), 404),
        (method("DELETE", "/"), 405),
    ] {
        let (answer, verified) = world.fetch(&http, &request);
        assert_eq!((answer.status_code, verified), (status, Some(status)), "{request:?}");
    }
}

#[test]
fn what_is_not_public_any_more_is_refused_and_its_certificate_gone() {
    let (mut world, mut http) = World::new();
    let before = http.branch_hash();
    world.publish(&mut http);
    assert_ne!(http.branch_hash(), before);
    world.public.clear();
    http.refresh(&world, "a", "Zoë 1");
    let (answer, verified) = world.fetch(&http, &get(ORIGINAL));
    assert_eq!((answer.status_code, verified), (401, None));
}

#[test]
fn the_tree_is_the_same_after_an_upgrade() {
    let (mut world, mut http) = World::new();
    world.publish(&mut http);
    let before = http.branch_hash();
    let http = Http::init(&storage::memory::manager(world.memories.clone(), 16));
    assert_eq!(http.branch_hash(), before);
    assert_eq!(world.fetch(&http, &get(ORIGINAL)).1, Some(200));
}

#[test]
fn what_is_public_for_a_time_only_is_answered_without_certificate() {
    let (mut world, mut http) = World::new();
    world.scheduled.insert(("a".into(), "Zoë 1".into()));
    http.refresh(&world, "a", "Zoë 1");
    let (answer, verified) = world.fetch(&http, &get(ORIGINAL));
    assert_eq!((answer.status_code, verified), (200, None));
    assert!(answer.body[..] == LONG[..]);
}

// ---- private assets: by token, certification skipped --------------------------------------------------

#[test]
fn a_token_opens_a_private_asset_with_any_range() {
    let (world, http) = World::new();
    let tag = format!("\"{}\"", storage::digest::hex(&sha256(&LONG)));
    let end = LONG.len();
    let window = CHUNK_SIZE as usize;
    for (request, status, body) in [
        (private(|_| {}), 200, &LONG[..]),
        (with(get(ORIGINAL), "Authorization", &format!("Bearer {}", token(|_| {}))), 200, &LONG),
        (method("HEAD", &private(|_| {}).url), 200, b""),
        (with(private(|_| {}), "Range", "bytes=5-9"), 206, &LONG[5..10]),
        (with(private(|_| {}), "Range", "bytes=-7"), 206, &LONG[end - 7..]),
        (with(private(|_| {}), "Range", "bytes=1899999-1900000"), 206, &LONG[window - 1..window + 1]),
        (with(private(|_| {}), "Range", "bytes=3-"), 206, &LONG[3..window + 3]),
        (with(private(|_| {}), "Range", "bytes=99999999-"), 416, b""),
        (with(with(private(|_| {}), "Range", "bytes=5-9"), "If-Range", "\"old\""), 200, &LONG),
        (with(private(|_| {}), "If-None-Match", &tag), 304, b""),
    ] {
        let (answer, verified) = world.fetch(&http, &request);
        assert_eq!((answer.status_code, verified), (status, None), "{request:?}");
        assert!(answer.body[..] == *body, "{request:?}");
        assert_eq!(value(&answer, "Cache-Control"), "private, no-store");
        assert_eq!(value(&answer, "X-Content-Type-Options"), "nosniff");
    }
}

#[test]
fn nothing_is_shown_without_the_right_token() {
    let (mut world, http) = World::new();
    for (request, status) in [
        (get(ORIGINAL), 401),
        (get("/asset/unknown/original"), 401),
        (
            get(&format!("/asset/unknown/original?token={}", token(|scope| scope.memory = "unknown".into()))),
            404,
        ),
        (get(&format!("{ORIGINAL}?token=")), 401),
        (get(&format!("{ORIGINAL}?token=nonsense")), 401),
        (private(|scope| scope.expires = NOW / 1_000_000_000), 401),
        (private(|scope| scope.capsule = "unknown".into()), 403),
        (private(|scope| scope.memory = "other".into()), 403),
        (private(|scope| scope.variant = "thumbnail".into()), 403),
        (private(|scope| scope.permissions = 2), 403),
        (with(get(ORIGINAL), "Authorization", &format!("Basic {}", token(|_| {}))), 401),
        (get("/asset/"), 404),
        (get("/asset/a/b/c"), 404),
        (get("/asset/a/nothing"), 404),
        (get("/asset/%zz/original"), 400),
        (method("POST", ORIGINAL), 405),
        (method("OPTIONS", ORIGINAL), 204),
    ] {
        let answer = world.ask(&http, &request);
        assert_eq!(answer.status_code, status, "{request:?}");
        if request.url != "/asset/%zz/original" {
            assert_eq!(world.verify(&request, &answer), Ok(None), "{request:?}");
        }
    }
    let mut stolen = private(|_| {});
    stolen.url = stolen.url.replace("original", "thumbnail");
    assert_eq!(world.ask(&http, &stolen).status_code, 403);
    world.records.get_mut(&("a".into(), "Zoë 1".into())).unwrap().assets.clear();
    assert_eq!(world.ask(&http, &private(|_| {})).status_code, 404);
}

#[test]
fn a_stream_stops_when_the_token_expires_or_the_asset_changes() {
    let (mut world, http) = World::new();
    let answer = world.ask(&http, &private(|_| {}));
    let Some(StreamingStrategy::Callback { token, .. }) = answer.streaming_strategy else {
        panic!("no stream")
    };
    let mut context = world.context(&http);
    assert!(http.stream(&token, &world, &context).is_some());
    assert!(http.stream(&StreamingToken { token: None, ..token.clone() }, &world, &context).is_none());
    assert!(http.stream(&StreamingToken { index: 3, ..token.clone() }, &world, &context).is_none());
    context.now += 61_000_000_000;
    assert!(http.stream(&token, &world, &context).is_none());
    context.now = NOW;
    let record = world.records.get_mut(&("a".into(), "Zoë 1".into())).unwrap();
    record.assets[0].location = AssetLocation::Internal { sha256: ByteBuf::from(sha256(b"")), length: 0 };
    assert!(http.stream(&token, &world, &context).is_none());
}

#[test]
fn a_token_is_worth_what_its_maker_may_do_now() {
    let (mut world, http) = World::new();
    let status = |world: &World, request: &HttpRequest| world.ask(&http, request).status_code;
    let lasting = private(|scope| scope.expires = u64::MAX / 2_000_000_000);
    assert_eq!(status(&world, &lasting), 200);
    assert_eq!(status(&world, &private(|scope| scope.permissions = 7)), 403, "more than its maker has");
    assert_eq!(status(&world, &private(|scope| scope.minter = Minter::Operator(operator()))), 200);
    assert_eq!(status(&world, &private(|scope| scope.minter = Minter::Operator(guest()))), 403);
    assert_eq!(status(&world, &private(|scope| scope.minter = Minter::Person(operator()))), 403);
    world.tokens_from = 6;
    assert_eq!(status(&world, &lasting), 403, "revoked");
    assert_eq!(status(&world, &private(|scope| scope.revocations = 6)), 200);
    world.tokens_from = 0;
    let mut context = world.context(&http);
    context.now += 3_600_000_000_000;
    let late = http.respond(&lasting, &world, &context);
    assert_eq!((late.status_code, late.body.starts_with(b"This link has ended.")), (403, true));
    world.guest = None;
    assert_eq!(status(&world, &lasting), 403, "what was granted to its maker is gone");
}

#[test]
fn links_from_before_the_hand_off_say_that_they_ended() {
    let (mut world, http) = World::new();
    let scope = tokens::claims(&token(|_| {})).unwrap();
    let forged = get(&format!("{ORIGINAL}?token={}", tokens::mint(&[6; 32], &scope).unwrap()));
    assert_eq!(world.ask(&http, &forged).status_code, 401);
    world.hub_tokens_ended = true;
    assert_eq!(world.ask(&http, &forged).status_code, 403);
    assert_eq!(world.ask(&http, &get(&format!("{ORIGINAL}?token=AAAA"))).status_code, 401);
}

// ---- what users put in must not run -----------------------------------------------------------------

#[test]
fn every_answer_is_bound_by_a_policy_and_hostile_types_are_saved() {
    let (mut world, http) = World::new();
    let mut shown = |mime_type: &str| {
        let record = world.records.get_mut(&("a".into(), "Zoë 1".into())).unwrap();
        record.assets[0].mime_type = mime_type.into();
        let answer = world.ask(&http, &private(|_| {}));
        ["Content-Type", "Content-Disposition", "Content-Security-Policy"]
            .map(|name| value(&answer, name).to_owned())
    };
    for hostile in
        ["image/png,text/html", "audio/x,text/html", "image/svg+xml,image/svg+xml", "text/html\r\nX: y"]
    {
        let [kind, disposition, policy] = shown(hostile);
        assert_eq!(kind, "application/octet-stream", "{hostile}");
        assert!(disposition.starts_with("attachment"), "{hostile}");
        assert!(policy.starts_with("default-src 'none'") && policy.ends_with("; sandbox"), "{hostile}");
    }
    assert!(shown("text/html")[1].starts_with("attachment"));
    assert!(shown("image/jpeg")[1].starts_with("inline"));
    for request in [private(|_| {}), get(ORIGINAL), get("/"), get("/health"), method("OPTIONS", ORIGINAL)] {
        let answer = world.ask(&http, &request);
        assert!(value(&answer, "Content-Security-Policy").starts_with("default-src 'none'"), "{request:?}");
        assert_eq!(value(&answer, "Cross-Origin-Resource-Policy"), "cross-origin");
    }
}

// ---- after the move ---------------------------------------------------------------------------------

#[test]
fn a_moved_capsule_is_redirected_with_its_token() {
    let (mut world, mut http) = World::new();
    world.publish(&mut http);
    world.moved.insert("a".into());
    let (answer, verified) = world.fetch(&http, &get(ORIGINAL));
    assert_eq!((answer.status_code, verified), (200, Some(200)), "certified until it is withdrawn");
    assert_eq!(http.withdraw_some("a", 10), 1);
    for request in [private(|_| {}), get(ORIGINAL), get(&format!("{ORIGINAL}?token=nonsense"))] {
        let (answer, verified) = world.fetch(&http, &request);
        assert_eq!((answer.status_code, verified), (308, None));
        assert_eq!(
            value(&answer, "Location"),
            format!("http://{}.localhost:4943{}", personal(), request.url)
        );
    }
}
