//! A capsule goes from the hub to a personal canister, and everything that could go wrong on the way.

mod world;

use access::Call;
use capsule::import::Import;
use capsule::registry::Residence;
use capsule::store::Store;
use ic_stable_structures::VectorMemory;
use serde_bytes::ByteBuf;
use types::*;
use world::*;

type Personal = (Store<VectorMemory>, Import<VectorMemory>);

fn from_hub() -> Call {
    Call { caller: HUB, operator: true, at: NOW }
}

fn furnished() -> World {
    let mut world = hub();
    world.folder("f", None);
    world.photo("m1", &vec![1; 2_000_000]);
    world.photo("m2", b"small");
    world.photo("m3", b"");
    world.memory("m4", Some("f"));
    world.gallery("g", &["m2", "m1"]);
    world.group("x", &["bob"]);
    world.entry(to_group("e1", Resource::Gallery("g".into()), "x", 3));
    world.entry(public("e2", Resource::Memory("m2".into()), 1));
    world
}

fn export(world: &World) -> Vec<RecordBytes> {
    let (mut records, mut after) = (vec![], None);
    loop {
        let cursor = after.as_ref().map(|bytes: &ByteBuf| bytes.as_slice());
        let page = world.store.export_records(&operator(), &world.capsule, cursor, 700).unwrap();
        records.extend(page.records);
        after = page.next;
        if after.is_none() {
            return records;
        }
    }
}

fn copy_blobs(world: &World, (store, import): &mut Personal) {
    let call = operator();
    let blobs = world.store.blobs_list(&call, &world.capsule, None, 100).unwrap().items;
    import.declare_blobs(store, &call, &blobs).unwrap();
    for missing in import.missing_chunks(store, &call, None, 100).unwrap().items {
        for index in (0..8 * missing.missing.len()).filter(|i| missing.missing[i / 8] & 1 << (i % 8) != 0) {
            let bytes =
                world.store.blobs_read_chunk(&call, &world.capsule, &missing.sha256, index as u32).unwrap();
            import.put_chunk(store, &call, &missing.sha256, index as u32, &bytes).unwrap();
        }
    }
}

fn seal((store, import): &mut Personal, generation: u64) -> ManifestSummary {
    loop {
        let summary = import.seal(store, &operator(), generation).unwrap();
        if summary.complete {
            return summary;
        }
    }
}

fn frozen_root(world: &mut World) -> ManifestSummary {
    world.store.freeze(&world.capsule).unwrap();
    loop {
        let summary = world.store.build_manifest(&world.capsule).unwrap();
        if summary.complete {
            return summary;
        }
    }
}

#[test]
fn a_migrated_capsule_has_the_same_root_the_same_matrix_and_the_same_records() {
    let mut world = furnished();
    let mut personal = personal(&world.capsule);
    let root = frozen_root(&mut world);
    copy_blobs(&world, &mut personal);
    let mut records = export(&world);
    records.reverse();
    personal.1.put_records(&mut personal.0, &operator(), 1, records.clone()).unwrap();
    personal.1.put_records(&mut personal.0, &operator(), 1, records).unwrap();
    assert_eq!(seal(&mut personal, 1), root);
    let (mut store, mut import) = personal;
    let matrix = |store: &Store<VectorMemory>| {
        store.access_matrix(&operator(), &world.capsule, NOW, None, 1_000).unwrap().rows
    };
    assert_eq!(matrix(&store), matrix(&world.store));
    let status = import.activate(&mut store, &from_hub(), &root.root, None).unwrap();
    assert_eq!(status.state, ImportState::Live);
    let list = |store: &Store<VectorMemory>, who: &str| {
        store.list::<Memory>(&by(who), &world.capsule, None, 10).unwrap().items
    };
    assert_eq!(list(&store, "alice"), list(&world.store, "alice"));
    assert_eq!(list(&store, "bob"), list(&world.store, "bob"));
    store.create::<Memory>(&by("alice"), &world.capsule, memory_input("new", None)).unwrap();
}

#[test]
fn every_single_difference_shows_in_the_root() {
    let mut world = furnished();
    let root = frozen_root(&mut world);
    let records = export(&world);
    let seal_with = |records: Vec<RecordBytes>| {
        let mut personal = personal(&world.capsule);
        copy_blobs(&world, &mut personal);
        personal.1.put_records(&mut personal.0, &operator(), 1, records).unwrap();
        seal(&mut personal, 1).root
    };
    assert_eq!(seal_with(records.clone()), root.root);
    for missing in 0..records.len() {
        if records[missing].kind != RecordKind::Capsule {
            let mut fewer = records.clone();
            fewer.remove(missing);
            assert_ne!(seal_with(fewer), root.root, "without {:?}", records[missing]);
        }
    }
    let gallery = records.iter().position(|record| record.kind == RecordKind::Gallery).unwrap();
    let mut changed: Gallery = storage::canonical::decode(&records[gallery].bytes).unwrap();
    changed.items.reverse();
    let mut reordered = records.clone();
    reordered[gallery].bytes = storage::canonical::encode(&changed).into();
    assert_ne!(seal_with(reordered), root.root);
    let entry = records.iter().position(|record| record.kind == RecordKind::AccessEntry).unwrap();
    let mut changed: AccessEntry = storage::canonical::decode(&records[entry].bytes).unwrap();
    changed.created_at += 1;
    let mut later = records.clone();
    later[entry].bytes = storage::canonical::encode(&changed).into();
    assert_ne!(seal_with(later), root.root);
}

#[test]
fn a_frozen_capsule_is_read_only_and_a_moved_one_is_elsewhere() {
    let mut world = furnished();
    let (capsule, alice) = (world.capsule.clone(), by("alice"));
    assert_eq!(world.store.freeze(&capsule), Ok(1));
    assert_eq!(world.store.freeze(&capsule), Ok(1), "freezing again changes nothing");
    let write = world.store.create::<Folder>(&alice, &capsule, folder_input("new", None));
    assert!(matches!(write, Err(Error::Migrating(_))));
    let upload = world.store.uploads_begin(&alice, &capsule, &[1; 32], 1);
    assert!(matches!(upload, Err(Error::Migrating(_))));
    assert!(world.store.read::<Memory>(&alice, &capsule, "m1").is_ok());
    world.store.thaw(&capsule).unwrap();
    world.store.create::<Folder>(&alice, &capsule, folder_input("new", None)).unwrap();
    assert!(matches!(world.store.move_to(&capsule, HOME), Err(Error::Conflict(_))), "only from a freeze");
    assert_eq!(world.store.freeze(&capsule), Ok(2));
    let moved = world.store.move_to(&capsule, HOME);
    assert!(matches!(moved, Err(Error::Conflict(_))), "an answer of it is still certified");
    assert_eq!(world.store.withdraw_some(&capsule), Ok(true));
    world.store.move_to(&capsule, HOME).unwrap();
    assert_eq!(world.store.read::<Memory>(&alice, &capsule, "m1"), Err(Error::Moved(HOME)));
    let write = world.store.create::<Folder>(&alice, &capsule, folder_input("newer", None));
    assert_eq!(write, Err(Error::Moved(HOME)));
    assert!(world.store.export_records(&operator(), &capsule, None, 1).is_ok(), "still there to compare");
}

#[test]
fn only_the_hub_and_the_operators_import_and_only_the_hub_activates() {
    let mut world = furnished();
    let root = frozen_root(&mut world).root;
    let mut personal = personal(&world.capsule);
    let refused = |answer: Answer<()>| assert!(matches!(answer, Err(Error::Unauthorized(_))), "{answer:?}");
    for call in [by("alice"), by("stranger")] {
        let (store, import) = &mut personal;
        refused(import.declare_blobs(store, &call, &[]));
        refused(import.put_chunk(store, &call, &[0; 32], 0, &[]));
        refused(import.put_records(store, &call, 1, vec![]));
        refused(import.missing_chunks(store, &call, None, 1).map(drop));
        refused(import.seal(store, &call, 0).map(drop));
        refused(import.reopen(store, &call).map(drop));
        refused(import.activate(store, &call, &root, None).map(drop));
        refused(import.close(store, &call, [8; 32], true).map(drop));
        refused(import.may_return_cycles(&call).map(drop));
    }
    copy_blobs(&world, &mut personal);
    personal.1.put_records(&mut personal.0, &operator(), 1, export(&world)).unwrap();
    let write = personal.0.create::<Folder>(&by("alice"), &world.capsule, folder_input("new", None));
    assert!(matches!(write, Err(Error::Migrating(_))), "writes wait until the capsule is live");
    seal(&mut personal, 1);
    let (store, import) = &mut personal;
    refused(import.activate(store, &operator(), &root, None).map(drop));
    refused(import.may_return_cycles(&operator()).map(drop));
    let other = import.activate(store, &from_hub(), &[1; 32], None);
    assert!(matches!(other, Err(Error::DigestMismatch(_))));
    import.activate(store, &from_hub(), &root, None).unwrap();
    import.activate(store, &from_hub(), &root, None).unwrap();
    for call in [operator(), from_hub()] {
        refused(import.put_records(store, &call, 2, vec![]));
        refused(import.put_chunk(store, &call, &[0; 32], 0, &[]));
        refused(import.reopen(store, &call).map(drop));
        refused(import.may_return_cycles(&call).map(drop));
    }
    assert!(import.is_operator(store, &principal("operator")));
    import.close(store, &from_hub(), [8; 32], true).unwrap();
    import.close(store, &from_hub(), [8; 32], true).unwrap();
    assert!(!import.is_operator(store, &principal("operator")));
    assert!(!import.is_operator(store, &HUB));
}

#[test]
fn a_later_freeze_takes_the_place_of_the_records_but_keeps_the_blobs() {
    let mut world = furnished();
    let mut personal = personal(&world.capsule);
    frozen_root(&mut world);
    copy_blobs(&world, &mut personal);
    personal.1.put_records(&mut personal.0, &operator(), 1, export(&world)).unwrap();
    seal(&mut personal, 1);
    world.store.thaw(&world.capsule.clone()).unwrap();
    world.store.delete::<Gallery>(&by("alice"), &world.capsule.clone(), "g").unwrap();
    world.store.delete::<Memory>(&by("alice"), &world.capsule.clone(), "m2").unwrap();
    let root = frozen_root(&mut world);
    assert_eq!(root.generation, 2);
    let (store, import) = &mut personal;
    conflict(import.put_records(store, &operator(), 2, vec![]), "sealed");
    import.reopen(store, &operator()).unwrap();
    let chunks = import.status(store).unwrap().chunks_received;
    import.put_records(store, &operator(), 2, export(&world)).unwrap();
    assert_eq!(import.status(store).unwrap().chunks_received, chunks, "no chunk was lost");
    conflict(import.put_records(store, &operator(), 1, vec![]), "an older freeze");
    conflict(import.seal(store, &operator(), 1), "an older freeze");
    assert_eq!(seal(&mut personal, 2), root);
}

#[test]
fn an_import_with_missing_chunks_is_not_sealed() {
    let mut world = furnished();
    frozen_root(&mut world);
    let (mut store, mut import) = personal(&world.capsule);
    let blobs = world.store.blobs_list(&operator(), &world.capsule, None, 100).unwrap().items;
    import.declare_blobs(&mut store, &operator(), &blobs).unwrap();
    import.put_records(&mut store, &operator(), 1, export(&world)).unwrap();
    conflict(import.seal(&mut store, &operator(), 1), "chunks are missing");
    let mut personal = (store, import);
    copy_blobs(&world, &mut personal);
    seal(&mut personal, 1);
}

#[test]
fn an_upgrade_in_the_middle_of_a_migration_loses_nothing() {
    let mut world = furnished();
    let root = frozen_root(&mut world);
    let memory = VectorMemory::default();
    let open = |kind, me| {
        let memories = storage::memory::manager(memory.clone(), 1);
        (Store::open(&memories, kind, me), Import::init(&memories))
    };
    let kind = storage::header::CanisterKind::Personal;
    let mut fresh = open(kind, HOME);
    begin(&world.capsule, &mut fresh);
    drop(fresh);
    let mut personal = open(kind, HOME);
    copy_blobs(&world, &mut personal);
    drop(personal);
    let mut personal = open(kind, HOME);
    for record in export(&world) {
        personal.1.put_records(&mut personal.0, &operator(), 1, vec![record]).unwrap();
        drop(personal);
        personal = open(kind, HOME);
    }
    assert_eq!(seal(&mut personal, 1), root);
    drop(personal);
    let (mut store, mut import) = open(kind, HOME);
    import.activate(&mut store, &from_hub(), &root.root, None).unwrap();
    drop((store, import));
    let (store, _) = open(kind, HOME);
    assert_eq!(store.manifest_summary(&world.capsule), Ok(root));
    assert!(store.read::<Memory>(&by("alice"), &world.capsule, "m1").is_ok());
}

#[test]
#[should_panic(expected = "belongs to another canister")]
fn the_module_of_the_hub_does_not_take_over_the_memory_of_a_personal_canister() {
    use storage::header::CanisterKind;
    let memory = VectorMemory::default();
    for kind in [CanisterKind::Personal, CanisterKind::Hub] {
        Store::open(&storage::memory::manager(memory.clone(), 1), kind, HOME);
    }
}

#[test]
fn only_canonical_bytes_of_this_capsule_come_in() {
    let world = furnished();
    let (mut store, mut import) = personal(&world.capsule);
    let records = export(&world);
    let folder = records.iter().find(|record| record.kind == RecordKind::Folder).unwrap();
    let mut padded = folder.clone();
    padded.bytes.push(0);
    let mut renamed = folder.clone();
    renamed.id = "other".into();
    let mut wrong_kind = folder.clone();
    wrong_kind.kind = RecordKind::Group;
    let mut foreign: Folder = storage::canonical::decode(&folder.bytes).unwrap();
    foreign.capsule_id = "other".into();
    let foreign = RecordBytes { bytes: storage::canonical::encode(&foreign).into(), ..folder.clone() };
    let garbage = RecordBytes { bytes: ByteBuf::from([0x9f; 50_000]), ..folder.clone() };
    let blob = RecordBytes { kind: RecordKind::Blob, ..folder.clone() };
    for record in [padded, renamed, wrong_kind, foreign, garbage, blob] {
        let answer = import.put_records(&mut store, &operator(), 1, vec![record]);
        assert!(matches!(answer, Err(Error::Invalid(_))), "{answer:?}");
    }
    assert_eq!(import.status(&store).unwrap().records, 0);
}

#[test]
fn a_token_given_out_by_the_hub_is_good_at_the_personal_canister() {
    let mut world = furnished();
    let wanted = [AssetRef { memory_id: "m1".into(), variant_: AssetVariant::Original }];
    let token = world.store.asset_tokens(&by("alice"), &world.capsule, &wanted, 60).unwrap().remove(0);
    let mut personal = personal(&world.capsule);
    frozen_root(&mut world);
    copy_blobs(&world, &mut personal);
    personal.1.put_records(&mut personal.0, &operator(), 1, export(&world)).unwrap();
    let root = seal(&mut personal, 1).root;
    let hub_tokens = world.store.registry.tokens_to_go(&world.capsule).unwrap();
    personal.1.activate(&mut personal.0, &from_hub(), &root, hub_tokens).unwrap();
    let get = |store: &Store<VectorMemory>, url: &str| {
        let request = HttpRequest {
            method: "GET".into(),
            url: url.into(),
            headers: vec![("Host".into(), format!("{}.localhost:4943", store.me))],
            body: ByteBuf::new(),
            certificate_version: Some(2),
        };
        let context = capsule::http::Context {
            me: store.me,
            now: NOW,
            certificate: None,
            beside_http: [0; 32],
            is_operator: &|_| false,
        };
        store.http.respond(&request, &store.assets(), &context)
    };
    let (here, there) = (get(&world.store, &token.path), get(&personal.0, &token.path));
    assert_eq!((here.status_code, there.status_code), (200, 200));
    assert_eq!(here.body, there.body);
    assert_eq!(get(&personal.0, "/asset/m2/original").status_code, 200, "everybody may view it");
    assert_eq!(world.store.withdraw_some(&world.capsule), Ok(true));
    world.store.move_to(&world.capsule.clone(), HOME).unwrap();
    let moved = get(&world.store, &token.path);
    assert_eq!(moved.status_code, 308);
    let location = moved.headers.iter().find(|(name, _)| name == "Location").unwrap();
    assert_eq!(location.1, format!("http://{HOME}.localhost:4943{}", token.path));
}

fn conflict<T: std::fmt::Debug>(answer: Answer<T>, why: &str) {
    assert!(matches!(answer, Err(Error::Conflict(_))), "{why}: {answer:?}");
}

fn moved() -> World {
    let mut world = furnished();
    world.entry(to_group("e3", Resource::Capsule, "x", 15));
    frozen_root(&mut world);
    assert_eq!(world.store.withdraw_some(&world.capsule), Ok(true));
    world.store.move_to(&world.capsule, HOME).unwrap();
    world
}

/// How each way to read a capsule answers, by name.
fn readings(world: &World, call: &Call) -> Vec<(&'static str, Answer<()>)> {
    let (store, capsule) = (&world.store, &world.capsule);
    let blob = storage::digest::sha256(b"small");
    let lists_it = store.capsules_list(call, None, 10).map(|page| page.items.len());
    let reaches_it = store.access_reach(call, None, 10).map(|page| page.items.len());
    let none_is_moved = |count: Answer<usize>| match count {
        Ok(0) => Err(Error::Moved(HOME)),
        other => other.map(drop),
    };
    vec![
        ("export", store.export_records(call, capsule, None, 1_000).map(drop)),
        ("root", store.manifest_root(call, capsule).map(drop)),
        ("node", store.manifest_node(call, capsule, &[]).map(drop)),
        ("leaves", store.manifest_leaves(call, capsule, None, 10).map(drop)),
        ("blobs", store.blobs_list(call, capsule, None, 10).map(drop)),
        ("chunk", store.blobs_read_chunk(call, capsule, &blob, 0).map(drop)),
        ("matrix", store.access_matrix(call, capsule, NOW, None, 10).map(drop)),
        ("list", none_is_moved(lists_it)),
        ("reach", none_is_moved(reaches_it)),
        ("head", store.capsules_get(call, capsule).map(drop)),
        ("summary", store.capsules_summary(call, capsule).map(drop)),
        ("records", store.list::<Memory>(call, capsule, None, 10).map(drop)),
        ("tokens", store.asset_tokens(call, capsule, &[], 60).map(drop)),
        ("uploads", store.uploads_status(call, capsule, &blob).map(drop)),
    ]
}

#[test]
fn what_is_left_of_a_moved_capsule_is_read_to_compare_it_and_after_the_handoff_by_nobody() {
    let mut world = moved();
    let to_compare = ["export", "root", "node", "leaves", "blobs", "chunk", "matrix", "list"];
    for (who, is_let) in [(operator(), true), (by("alice"), true), (by("bob"), false), (by("eve"), false)] {
        for (name, answer) in readings(&world, &who) {
            let due = is_let && to_compare.contains(&name);
            assert_eq!(answer.is_ok(), due, "{name} by {}: {answer:?}", who.caller);
        }
    }
    world.store.registry.change(&world.capsule, |known| known.token_secret = None).unwrap();
    for who in [operator(), by("alice"), by("bob"), by("eve")] {
        for (name, answer) in readings(&world, &who) {
            assert_eq!(answer, Err(Error::Moved(HOME)), "{name} by {}", who.caller);
        }
    }
}

#[test]
fn a_copy_that_is_deleted_leaves_only_where_the_capsule_is() {
    let mut world = moved();
    assert!(matches!(world.store.delete_copy(&world.capsule), Err(Error::Conflict(_))), "not handed off");
    world.store.registry.change(&world.capsule, |known| known.token_secret = None).unwrap();
    world.store.delete_copy(&world.capsule).unwrap();
    world.store.delete_copy(&world.capsule).unwrap();
    assert_eq!(world.store.records.total(&world.capsule).records, 0);
    assert_eq!(world.store.blobs.totals(&world.capsule).blobs, 0);
    let registration = world.store.registry.get(&world.capsule).unwrap();
    assert_eq!(registration.residence, Residence::MovedTo(HOME));
    for who in [operator(), by("alice")] {
        for (name, answer) in readings(&world, &who) {
            assert_eq!(answer, Err(Error::Moved(HOME)), "{name} by {}", who.caller);
        }
    }
    let index = &world.store.records.index;
    assert_eq!(index.capsules_with_memory("m1").collect::<Vec<_>>(), [world.capsule.clone()]);
    let again = world.store.capsules_create(&by("alice"), person("alice"), [7; 32]);
    assert_eq!(again, Err(Error::Moved(HOME)));
}
