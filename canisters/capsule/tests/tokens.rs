//! A token is worth no more, and no longer, than the right of who made it.

mod world;

use access::rules::{DOWNLOAD, MANAGE, VIEW};
use candid::Principal;
use capsule::http::Context;
use capsule::store::Store;
use capsule::tokens::{self, Scope};
use ic_stable_structures::VectorMemory;
use types::limits::*;
use types::*;
use world::*;

const SECOND: u64 = 1_000_000_000;
/// What the hub of these tests signs with.
const HUB_SECRET: [u8; 32] = [7; 32];

/// The status and the body that a store answers a path with.
fn fetch(store: &Store<VectorMemory>, path: &str, at: Time, operator: Option<Principal>) -> (u16, Vec<u8>) {
    let is_operator = |principal: &Principal| operator == Some(*principal);
    let context =
        Context { me: store.me, now: at, certificate: None, beside_http: [0; 32], is_operator: &is_operator };
    let request = HttpRequest {
        method: "GET".into(),
        url: path.into(),
        headers: vec![],
        body: Default::default(),
        certificate_version: None,
    };
    let answer = store.http.respond(&request, &store.assets(), &context);
    (answer.status_code, answer.body.into_vec())
}

fn status(store: &Store<VectorMemory>, path: &str, at: Time) -> u16 {
    fetch(store, path, at, None).0
}

fn wanted() -> Vec<AssetRef> {
    vec![AssetRef { memory_id: "photo".into(), variant_: AssetVariant::Original }]
}

fn token_of(world: &World, call: &access::Call, seconds: u64) -> Answer<AssetToken> {
    let mut tokens = world.store.asset_tokens(call, &world.capsule, &wanted(), seconds)?;
    Ok(tokens.remove(0))
}

/// A private photo, and a guest who may view it for five seconds.
fn with_guest() -> World {
    let mut world = hub();
    world.photo("photo", b"private bytes");
    let soon = AccessCondition::ExpiresAt { expires: NOW + 5 * SECOND };
    let memory = Resource::Memory("photo".into());
    world.entry(AccessInput { condition: soon, ..grant("guest", memory, "gus", VIEW | DOWNLOAD) });
    world
}

#[test]
fn a_guests_token_ends_with_what_was_granted() {
    let mut world = with_guest();
    let token = token_of(&world, &by("gus"), 3_600).unwrap();
    assert_eq!(token.expires_at, NOW + 5 * SECOND);
    assert_eq!(fetch(&world.store, &token.path, NOW, None), (200, b"private bytes".to_vec()));
    assert_eq!(status(&world.store, &token.path, NOW + 5 * SECOND), 401);
    let capsule = world.capsule.clone();
    world.store.delete::<AccessEntry>(&by("alice"), &capsule, "guest").unwrap();
    assert_eq!(status(&world.store, &token.path, NOW), 403);
}

#[test]
fn a_token_dies_with_its_makers_group_or_office() {
    let mut world = hub();
    world.photo("photo", b"private bytes");
    world.group("family", &["gina"]);
    world.entry(to_group("group", Resource::Capsule, "family", VIEW));
    let gina = token_of(&world, &by("gina"), 60).unwrap();
    let alice = token_of(&world, &by("alice"), 60).unwrap();
    let capsule = world.capsule.clone();
    world.store.update::<Group>(&by("alice"), &capsule, "family", group_input("family", &[])).unwrap();
    let update = CapsuleUpdate { owners: Some(vec![person("bob")]), controllers: None, settings: None };
    world.store.capsules_update(&by("alice"), &capsule, update).unwrap();
    for token in [gina, alice] {
        assert_eq!(status(&world.store, &token.path, NOW), 403);
    }
}

#[test]
fn how_long_a_token_lives_depends_on_who_makes_it() {
    let mut world = hub();
    world.photo("photo", b"private bytes");
    world.entry(grant("viewer", Resource::Capsule, "vera", VIEW));
    world.entry(grant("admin", Resource::Capsule, "adam", VIEW | MANAGE));
    let longest = |call: &access::Call| {
        let token = token_of(&world, call, MAX_TOKEN_SECONDS).unwrap();
        (token.expires_at - NOW) / SECOND
    };
    assert_eq!(longest(&by("alice")), MAX_TOKEN_SECONDS);
    assert_eq!(longest(&by("adam")), MAX_TOKEN_SECONDS);
    assert_eq!(longest(&by("vera")), MAX_GUEST_TOKEN_SECONDS);
    assert_eq!(longest(&operator()), MAX_OPERATOR_TOKEN_SECONDS);
    assert!(matches!(token_of(&world, &by("alice"), MAX_TOKEN_SECONDS + 1), Err(Error::Invalid(_))));
}

#[test]
fn an_operators_token_is_good_while_they_are_one() {
    let mut world = hub();
    world.photo("photo", b"private bytes");
    let token = token_of(&world, &operator(), 60).unwrap();
    assert_eq!(fetch(&world.store, &token.path, NOW, Some(principal("operator"))).0, 200);
    assert_eq!(fetch(&world.store, &token.path, NOW, Some(principal("another"))).0, 403);
    assert_eq!(status(&world.store, &token.path, NOW), 403);
}

#[test]
fn who_manages_takes_tokens_back() {
    let mut world = with_guest();
    world.photo("other", b"other");
    let capsule = world.capsule.clone();
    let mint = |world: &World| token_of(world, &by("alice"), 600).unwrap().path;
    let other = vec![AssetRef { memory_id: "other".into(), variant_: AssetVariant::Original }];
    let other = world.store.asset_tokens(&by("alice"), &capsule, &other, 600).unwrap().remove(0).path;
    let old = mint(&world);
    for call in [by("gus"), by("stranger"), operator()] {
        for memory in [None, Some("photo"), Some("nowhere")] {
            let refused = world.store.asset_tokens_revoke(&call, &capsule, memory);
            assert!(matches!(refused, Err(Error::Unauthorized(_))), "{refused:?}");
        }
    }
    world.store.freeze(&capsule).unwrap();
    world.store.asset_tokens_revoke(&by("alice"), &capsule, Some("photo")).unwrap();
    assert_eq!((status(&world.store, &old, NOW), status(&world.store, &other, NOW)), (403, 200));
    let new = mint(&world);
    assert_eq!(status(&world.store, &new, NOW), 200);
    world.store.asset_tokens_revoke(&by("alice"), &capsule, None).unwrap();
    assert_eq!((status(&world.store, &new, NOW), status(&world.store, &other, NOW)), (403, 403));
    assert_eq!(status(&world.store, &mint(&world), NOW), 200);
}

#[test]
fn a_personal_canister_honours_the_hubs_tokens_until_the_hand_off_and_none_that_were_revoked() {
    let mut world = with_guest();
    let capsule = world.capsule.clone();
    let revoked = token_of(&world, &by("alice"), 600).unwrap().path;
    world.store.asset_tokens_revoke(&by("alice"), &capsule, None).unwrap();
    let early = token_of(&world, &by("alice"), 600).unwrap().path;
    let by_operator = token_of(&world, &operator(), 600).unwrap().path;

    let (mut store, mut import) = personal(&capsule);
    world.store.freeze(&capsule).unwrap();
    while !world.store.build_manifest(&capsule).unwrap().complete {}
    let blobs = world.store.blobs_list(&operator(), &capsule, None, 10).unwrap().items;
    import.declare_blobs(&mut store, &operator(), &blobs).unwrap();
    import.put_chunk(&mut store, &operator(), &blobs[0].sha256, 0, b"private bytes").unwrap();
    let records = world.store.export_records(&operator(), &capsule, None, 1 << 20).unwrap().records;
    import.put_records(&mut store, &operator(), 1, records).unwrap();
    assert!(import.needs_secret(&store, &by("stranger")).is_err());
    assert!(import.needs_secret(&store, &operator()).unwrap());
    import.keep_secret(&mut store, [1; 32]).unwrap();
    import.keep_secret(&mut store, [2; 32]).unwrap();
    assert_eq!(store.registry.get(&capsule).unwrap().token_secret.unwrap(), [1; 32], "the first stays");
    let root = loop {
        let summary = import.seal(&mut store, &operator(), 1).unwrap();
        if summary.complete {
            break summary.root;
        }
    };
    assert_eq!(status(&store, &early, NOW), 401, "nothing was said about the hub's tokens yet");
    let from_hub = access::Call { caller: HUB, operator: true, at: NOW };
    let tokens = world.store.registry.tokens_to_go(&capsule).unwrap();
    import.activate(&mut store, &from_hub, &root, tokens).unwrap();
    let at = |store: &Store<VectorMemory>, path: &str| {
        let (status, body) = fetch(store, path, NOW, Some(principal("operator")));
        (status, body == b"private bytes")
    };
    assert_eq!((at(&store, &early), at(&store, &by_operator)), ((200, true), (200, true)));
    assert_eq!(at(&store, &revoked), (403, false));
    let own = store.asset_tokens(&by("alice"), &capsule, &wanted(), 600).unwrap().remove(0).path;
    assert_eq!(at(&store, &own), (200, true));

    // whoever has the hub's secret, and had a look into the canister before the hub let go of it
    let forged = |secret: [u8; 32]| {
        let claims = own.split_once("?token=").unwrap().1;
        let scope = Scope { expires: u64::MAX, revocations: u32::MAX, ..tokens::claims(claims).unwrap() };
        format!("/asset/photo/original?token={}", tokens::mint(&secret, &scope).unwrap())
    };
    assert_eq!(at(&store, &forged(HUB_SECRET)), (200, true));
    import.close(&mut store, &from_hub, [3; 32], true).unwrap();
    import.close(&mut store, &from_hub, [4; 32], false).unwrap();
    import.close(&mut store, &from_hub, [5; 32], false).unwrap();
    for secret in [HUB_SECRET, [1; 32], [2; 32], [3; 32], [5; 32]] {
        let (status, body) = fetch(&store, &forged(secret), NOW, None);
        assert_eq!((status, body.starts_with(b"This link has ended.")), (403, true), "{secret:?}");
    }
    for old in [early, by_operator, own.clone(), revoked] {
        assert_eq!(status(&store, &old, NOW), 403);
    }
    let new = store.asset_tokens(&by("alice"), &capsule, &wanted(), 600).unwrap().remove(0).path;
    assert_eq!(status(&store, &new, NOW), 200);
}

#[test]
fn tokens_of_single_memories_that_were_revoked_do_not_come_back_by_the_move() {
    let mut world = with_guest();
    let capsule = world.capsule.clone();
    world.store.asset_tokens_revoke(&by("alice"), &capsule, Some("photo")).unwrap();
    let tokens = world.store.registry.tokens_to_go(&capsule).unwrap().unwrap();
    assert_eq!(tokens.from, 1);
}
