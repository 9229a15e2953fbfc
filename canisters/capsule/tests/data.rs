//! The data methods: repeatable, bounded, and with their references kept whole.

mod world;

use serde_bytes::ByteBuf;
use types::*;
use world::*;

fn conflict<T: std::fmt::Debug>(answer: Answer<T>) {
    assert!(matches!(answer, Err(Error::Conflict(_))), "{answer:?}");
}

fn invalid<T: std::fmt::Debug>(answer: Answer<T>) {
    assert!(matches!(answer, Err(Error::Invalid(_))), "{answer:?}");
}

#[test]
fn a_create_with_an_id_may_be_repeated_but_not_with_other_content() {
    let mut world = hub();
    let first = world.memory("m", None);
    let later = access::Call { at: NOW + 5, ..by("alice") };
    let again: Memory = world.store.create(&later, &world.capsule, memory_input("m", None)).unwrap();
    assert_eq!(again, first, "times and author are those of the first");
    let other = MemoryInput { title: None, ..memory_input("m", None) };
    conflict(world.store.create::<Memory>(&later, &world.capsule.clone(), other));
}

#[test]
fn an_update_that_changes_nothing_changes_no_time() {
    let mut world = hub();
    let first = world.folder("f", None);
    let later = access::Call { at: NOW + 5, ..by("alice") };
    let same: Folder = world.store.update(&later, &world.capsule, "f", folder_input("f", None)).unwrap();
    assert_eq!(same, first);
    let renamed = FolderInput { title: "new".into(), ..folder_input("f", None) };
    let changed: Folder = world.store.update(&later, &world.capsule, "f", renamed).unwrap();
    assert_eq!((changed.created_at, changed.updated_at), (NOW, NOW + 5));
}

#[test]
fn ids_made_by_the_canister_are_new() {
    let mut world = hub();
    let input = || FolderInput { id: None, ..folder_input("", None) };
    let one: Folder = world.store.create(&by("alice"), &world.capsule, input()).unwrap();
    let two: Folder = world.store.create(&by("alice"), &world.capsule, input()).unwrap();
    assert_ne!(one.id, two.id);
}

#[test]
fn broken_references_are_refused() {
    let mut world = hub();
    world.folder("a", None);
    world.folder("b", Some("a"));
    let capsule = world.capsule.clone();
    let alice = by("alice");
    let store = &mut world.store;
    invalid(store.create::<Memory>(&alice, &capsule, memory_input("m", Some("none"))));
    invalid(store.create::<Folder>(&alice, &capsule, folder_input("c", Some("none"))));
    invalid(store.update::<Folder>(&alice, &capsule, "a", folder_input("a", Some("b"))));
    invalid(store.update::<Folder>(&alice, &capsule, "a", folder_input("a", Some("a"))));
    invalid(store.create::<Gallery>(&alice, &capsule, gallery_input("g", &["none"])));
    invalid(store.create::<AccessEntry>(
        &alice,
        &capsule,
        grant("e", Resource::Memory("none".into()), "bob", 1),
    ));
    let location = AssetLocation::Internal { sha256: ByteBuf::from([1; 32]), length: 5 };
    let assets = vec![asset(AssetVariant::Original, location)];
    invalid(store.create::<Memory>(&alice, &capsule, MemoryInput { assets, ..memory_input("m", None) }));
}

#[test]
fn what_is_still_needed_is_not_deleted() {
    let mut world = hub();
    world.folder("f", None);
    world.memory("m", Some("f"));
    world.gallery("g", &["m"]);
    world.group("x", &["bob"]);
    world.entry(to_group("e", Resource::Memory("m".into()), "x", 1));
    let (capsule, alice) = (world.capsule.clone(), by("alice"));
    conflict(world.store.delete::<Folder>(&alice, &capsule, "f"));
    conflict(world.store.delete::<Memory>(&alice, &capsule, "m"));
    conflict(world.store.delete::<Group>(&alice, &capsule, "x"));
    world.store.delete::<Gallery>(&alice, &capsule, "g").unwrap();
    world.store.delete::<Memory>(&alice, &capsule, "m").unwrap();
    let entry = world.store.read::<AccessEntry>(&alice, &capsule, "e");
    assert!(matches!(entry, Err(Error::NotFound(_))), "entries go with their resource");
    world.store.delete::<Group>(&alice, &capsule, "x").unwrap();
    world.store.delete::<Folder>(&alice, &capsule, "f").unwrap();
}

#[test]
fn inputs_out_of_bounds_are_refused() {
    let mut world = hub();
    let (capsule, alice) = (world.capsule.clone(), by("alice"));
    let long = "x".repeat(20_000);
    let inline = |bytes: usize| {
        vec![asset(AssetVariant::Original, AssetLocation::Inline(ByteBuf::from(vec![0; bytes])))]
    };
    let base = || memory_input("m", None);
    let twice = vec![inline(1).remove(0), inline(2).remove(0)];
    let bad = [
        MemoryInput { id: Some(String::new()), ..base() },
        MemoryInput { id: Some("x".repeat(65)), ..base() },
        MemoryInput { id: Some("a\0b".into()), ..base() },
        MemoryInput { title: Some(long.clone()), ..base() },
        MemoryInput { content_type: "text/plain\r\nX-Evil: 1".into(), ..base() },
        MemoryInput { tags: vec!["t".into(); 300], ..base() },
        MemoryInput { assets: inline((32 << 10) + 1), ..base() },
        MemoryInput { assets: twice, ..base() },
    ];
    for input in bad {
        invalid(world.store.create::<Memory>(&alice, &capsule, input));
    }
    let fits = MemoryInput { assets: inline(32 << 10), ..base() };
    world.store.create::<Memory>(&alice, &capsule, fits).unwrap();
    invalid(world.store.list::<Memory>(&alice, &capsule, None, 0));
    let everybody = CapsuleUpdate { owners: Some(vec![]), controllers: None, settings: None };
    invalid(world.store.capsules_update(&alice, &capsule, everybody));
    invalid(world.store.create::<AccessEntry>(&alice, &capsule, grant("e", Resource::Capsule, "bob", 32)));
    invalid(world.store.create::<AccessEntry>(&alice, &capsule, public("e", Resource::Capsule, 4)));
}

#[test]
fn lists_are_paged_in_id_order_and_show_only_what_may_be_read() {
    let mut world = hub();
    for id in ["a", "b", "c", "d"] {
        world.memory(id, None);
    }
    world.entry(grant("1", Resource::Memory("b".into()), "bob", 1));
    world.entry(grant("2", Resource::Memory("d".into()), "bob", 1));
    let ids = |call: &access::Call, limit: u32| {
        let (mut ids, mut after) = (vec![], None);
        loop {
            let page = world.store.list::<Memory>(call, &world.capsule, after.as_deref(), limit).unwrap();
            ids.extend(page.items.into_iter().map(|memory| memory.id));
            after = page.next;
            if after.is_none() {
                return ids.join("");
            }
        }
    };
    for limit in [1, 3, 4, 1_000] {
        assert_eq!(ids(&by("alice"), limit), "abcd");
        assert_eq!(ids(&by("bob"), limit), "bd");
    }
    assert!(matches!(
        world.store.list::<Memory>(&by("stranger"), &world.capsule, None, 1),
        Err(Error::Unauthorized(_))
    ));
}

#[test]
fn a_blob_is_read_by_those_who_may_download_a_memory_that_uses_it() {
    let mut world = hub();
    let memory = world.photo("m", b"bytes");
    let AssetLocation::Internal { sha256, .. } = &memory.assets[0].location else { unreachable!() };
    world.entry(grant("1", Resource::Memory("m".into()), "viewer", 1));
    world.entry(grant("2", Resource::Memory("m".into()), "downloader", 3));
    let read = |name: &str| world.store.blobs_read_chunk(&by(name), &world.capsule, sha256, 0);
    assert_eq!(read("alice").unwrap(), ByteBuf::from(*b"bytes"));
    assert_eq!(read("downloader").unwrap(), ByteBuf::from(*b"bytes"));
    for name in ["viewer", "stranger"] {
        assert!(matches!(read(name), Err(Error::Unauthorized(_))));
    }
}

#[test]
fn knowing_a_hash_opens_no_blob_of_another_capsule_nor_of_another_memory() {
    let mut world = hub();
    world.photo("m", b"secret");
    let sha256 = storage::digest::sha256(b"secret");
    world.memory("other", None);
    world.entry(grant("1", Resource::Memory("other".into()), "bob", 8));
    let location = AssetLocation::Internal { sha256: ByteBuf::from(sha256), length: 6 };
    let steal = |memory: &str| MemoryInput {
        assets: vec![asset(AssetVariant::Original, location.clone())],
        ..memory_input(memory, None)
    };
    let capsule = world.capsule.clone();
    let refused = world.store.update::<Memory>(&by("bob"), &capsule, "other", steal("other"));
    assert!(matches!(refused, Err(Error::Unauthorized(_))), "{refused:?}");
    let mallory = world.store.capsules_create(&by("mallory"), person("mallory"), [2; 32]).unwrap().id;
    invalid(world.store.create::<Memory>(&by("mallory"), &mallory, steal("mine")));
    let status = world.store.uploads_begin(&by("mallory"), &mallory, &sha256, 6).unwrap();
    assert_eq!((status.complete, status.received), (false, ByteBuf::from([0])));
    let read = world.store.blobs_read_chunk(&by("mallory"), &mallory, &sha256, 0);
    assert!(matches!(read, Err(Error::NotFound(_))), "{read:?}");
}

#[test]
fn a_capsule_is_created_once_for_its_subject_and_for_others_by_operators_only() {
    let mut world = hub();
    let again = world.store.capsules_create(&by("alice"), person("alice"), [9; 32]).unwrap();
    assert_eq!(again.id, world.capsule);
    let secret = world.store.registry.get(&world.capsule).unwrap().token_secret;
    assert_eq!(secret, Some(ByteBuf::from([7; 32])), "the first secret stays");
    let granny = PersonRef::Opaque("granny".into());
    let refused = world.store.capsules_create(&by("alice"), granny.clone(), [1; 32]);
    assert!(matches!(refused, Err(Error::Unauthorized(_))));
    let made = world.store.capsules_create(&operator(), granny.clone(), [1; 32]).unwrap();
    assert_eq!(made.owners[0].person, granny);
    assert_eq!(made.controllers, [], "who fills it is not in the records");
    let list = |call| world.store.capsules_list(call, None, 10).unwrap().items.len();
    assert_eq!((list(&operator()), list(&by("alice")), list(&by("stranger"))), (2, 1, 0));
}

#[test]
fn an_operator_fills_the_capsules_made_for_others_until_an_owner_names_the_controllers() {
    let mut world = hub();
    let capsule = world.store.capsules_create(&operator(), person("bob"), [1; 32]).unwrap().id;
    let fill = |world: &mut World, call: &access::Call, id: &str| {
        world.store.create::<Memory>(call, &capsule, memory_input(id, None)).map(drop)
    };
    fill(&mut world, &operator(), "one").unwrap();
    let other = access::Call { caller: principal("other"), ..operator() };
    assert!(matches!(fill(&mut world, &other, "two"), Err(Error::Unauthorized(_))));
    let dismissed = access::Call { operator: false, ..operator() };
    assert!(matches!(fill(&mut world, &dismissed, "two"), Err(Error::Unauthorized(_))));
    let rows = world.store.access_matrix(&operator(), &capsule, NOW, None, 100).unwrap().rows;
    assert!(rows.iter().all(|row| row.person == Some(person("bob"))), "nothing of it moves: {rows:?}");
    let update = CapsuleUpdate { owners: None, controllers: Some(vec![]), settings: None };
    assert!(matches!(
        world.store.capsules_update(&operator(), &capsule, update.clone()),
        Err(Error::Unauthorized(_))
    ));
    world.store.capsules_update(&by("bob"), &capsule, update).unwrap();
    assert!(matches!(fill(&mut world, &operator(), "two"), Err(Error::Unauthorized(_))));
}

#[test]
fn a_deleted_capsule_leaves_nothing_behind() {
    let mut world = hub();
    world.photo("m", &vec![5; 2_000_000]);
    world.gallery("g", &["m"]);
    world.entry(public("e", Resource::Memory("m".into()), 1));
    let capsule = world.capsule.clone();
    world.store.capsules_delete(&by("alice"), &capsule).unwrap();
    assert_eq!(world.store.records.total(&capsule).records, 0);
    assert_eq!(world.store.records.index.iter().count(), 0);
    assert_eq!(world.store.blobs.totals(&capsule).blobs, 0);
    assert_eq!(world.store.manifest.totals(&capsule).records, 0);
    assert!(matches!(world.store.capsules_get(&by("alice"), &capsule), Err(Error::NotFound(_))));
}

#[test]
fn a_memory_id_is_taken_once_in_the_whole_hub() {
    let mut world = hub();
    world.memory("m", None);
    let bob = world.store.capsules_create(&by("bob"), person("bob"), [8; 32]).unwrap().id;
    conflict(world.store.create::<Memory>(&by("bob"), &bob, memory_input("m", None)));
    let other: Answer<Memory> = world.store.create(&by("bob"), &bob, memory_input("n", None));
    assert!(other.is_ok());
}
