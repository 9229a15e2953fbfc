//! Who may do what, cell by cell, and the effective permissions behind it.

mod world;

use access::rules::{rule, Action, Place, MANAGE, OWN, OWNER, SHARE, VIEW};
use types::record_kinds::KINDS;
use types::*;
use world::*;

const M: &str = "memory";
const F: &str = "folder";
const G: &str = "gallery";

/// One of each kind: a memory in a folder, shown in a gallery.
fn furnished() -> World {
    let mut world = hub();
    world.folder(F, None);
    world.memory(M, Some(F));
    world.gallery(G, &[M]);
    world.group("group", &["gina"]);
    world.entry(grant("entry", Resource::Memory(M.into()), "ernie", VIEW));
    let peer = ConnectionInput {
        id: Some("connection".into()),
        peer: person("carl"),
        status: ConnectionStatus::Pending,
    };
    world.store.create::<Connection>(&by("alice"), &world.capsule.clone(), peer).unwrap();
    world
}

/// Does an action on the record of a kind as a caller.
fn act(world: &mut World, kind: RecordKind, action: Action, call: &access::Call) -> Answer<()> {
    let capsule = world.capsule.clone();
    let store = &mut world.store;
    macro_rules! crud {
        ($record:ty, $id:expr, $new:expr, $changed:expr) => {
            match action {
                Action::Read => store.read::<$record>(call, &capsule, $id).map(drop),
                Action::Create => store.create::<$record>(call, &capsule, $new).map(drop),
                Action::Change => store.update::<$record>(call, &capsule, $id, $changed).map(drop),
                Action::Delete => store.delete::<$record>(call, &capsule, $id),
            }
        };
    }
    match kind {
        RecordKind::Capsule => match action {
            Action::Read => store.capsules_get(call, &capsule).map(drop),
            Action::Change => {
                let head: Capsule = store.records.get(&capsule, &capsule)?;
                let settings = CapsuleSettings { has_advanced_settings: true, ..head.settings };
                let update = CapsuleUpdate { owners: None, controllers: None, settings: Some(settings) };
                store.capsules_update(call, &capsule, update).map(drop)
            }
            Action::Delete => store.capsules_delete(call, &capsule),
            Action::Create => Ok(()),
        },
        RecordKind::Memory => crud!(Memory, M, memory_input("new", Some(F)), memory_input(M, Some(F))),
        RecordKind::Folder => crud!(
            Folder,
            F,
            folder_input("new", Some(F)),
            FolderInput { title: "other".into(), ..folder_input(F, None) }
        ),
        RecordKind::Gallery => {
            crud!(
                Gallery,
                G,
                gallery_input("new", &[]),
                GalleryInput { title: "other".into(), ..gallery_input(G, &[M]) }
            )
        }
        RecordKind::AccessEntry => crud!(
            AccessEntry,
            "entry",
            grant("new", Resource::Memory(M.into()), "nora", VIEW),
            grant("entry", Resource::Memory(M.into()), "nora", VIEW)
        ),
        RecordKind::Connection => {
            let input = |id: &str| ConnectionInput {
                id: Some(id.into()),
                peer: person("nora"),
                status: ConnectionStatus::Accepted,
            };
            crud!(Connection, "connection", input("new"), input("connection"))
        }
        RecordKind::Group => crud!(Group, "group", group_input("new", &[]), group_input("group", &["nora"])),
        RecordKind::Blob => match action {
            Action::Read => store.blobs_list(call, &capsule, None, 1).map(drop),
            Action::Create => store.uploads_begin(call, &capsule, &[9; 32], 5).map(drop),
            Action::Change | Action::Delete => store.uploads_abort(call, &capsule, &[9; 32]),
        },
    }
}

/// The resource on which the rules want the permission, for the records of `furnished`.
fn place(kind: RecordKind, place: Place) -> Resource {
    match (place, kind) {
        (Place::Capsule, _) => Resource::Capsule,
        (Place::Itself, RecordKind::Memory) | (Place::Target, _) => Resource::Memory(M.into()),
        (Place::Itself, RecordKind::Folder) | (Place::Parent, _) => Resource::Folder(F.into()),
        (Place::Itself, _) => Resource::Gallery(G.into()),
    }
}

const ACTIONS: [Action; 4] = [Action::Read, Action::Create, Action::Change, Action::Delete];

#[test]
fn every_cell_of_the_rules_lets_through_who_has_the_permission_and_nobody_else() {
    for kind in KINDS {
        for action in ACTIONS {
            if kind == RecordKind::Capsule && action == Action::Create {
                continue; // everybody creates their own
            }
            let (where_needed, needed) = rule(kind, action);
            let resource = place(kind, where_needed);
            for permissions in 1..=OWNER {
                let mut world = furnished();
                // what is in the way of a delete, but no matter of permission, is out of the way
                if action == Action::Delete && kind == RecordKind::Memory {
                    world.store.delete::<Gallery>(&by("alice"), &world.capsule.clone(), G).unwrap();
                }
                if action == Action::Delete && kind == RecordKind::Folder {
                    let capsule = world.capsule.clone();
                    world.store.delete::<Gallery>(&by("alice"), &capsule, G).unwrap();
                    world.store.delete::<Memory>(&by("alice"), &capsule, M).unwrap();
                }
                world.entry(grant("given", resource.clone(), "bob", permissions));
                let answer = act(&mut world, kind, action, &by("bob"));
                let mut expected = permissions & needed == needed;
                if kind == RecordKind::AccessEntry && action != Action::Read && expected {
                    // nobody gives or takes what they could not give
                    expected = permissions & MANAGE != 0 || permissions & OWN != 0 || permissions & VIEW != 0;
                }
                match &answer {
                    Ok(()) => assert!(expected, "{kind:?} {action:?} with {permissions}"),
                    Err(Error::Unauthorized(_)) => {
                        assert!(!expected, "{kind:?} {action:?} with {permissions}: {answer:?}")
                    }
                    Err(error) => panic!("{kind:?} {action:?} with {permissions}: {error:?}"),
                }
            }
        }
    }
}

#[test]
fn strangers_and_the_anonymous_are_refused_everything() {
    for kind in KINDS {
        for action in ACTIONS {
            if kind == RecordKind::Capsule && action == Action::Create {
                continue;
            }
            let anonymous = access::Call { caller: candid::Principal::anonymous(), ..by("x") };
            for call in [by("stranger"), anonymous] {
                let answer = act(&mut furnished(), kind, action, &call);
                assert!(matches!(answer, Err(Error::Unauthorized(_))), "{kind:?} {action:?}: {answer:?}");
            }
        }
    }
}

#[test]
fn the_anonymous_never_write_even_where_everybody_may_view() {
    let mut world = furnished();
    world.entry(public("open", Resource::Capsule, 3));
    let anonymous = access::Call { caller: candid::Principal::anonymous(), ..by("x") };
    assert!(world.store.read::<Memory>(&anonymous, &world.capsule, M).is_ok());
    for kind in KINDS {
        for action in [Action::Create, Action::Change, Action::Delete] {
            if kind != RecordKind::Capsule || action != Action::Create {
                let answer = act(&mut world, kind, action, &anonymous);
                assert!(matches!(answer, Err(Error::Unauthorized(_))), "{kind:?} {action:?}: {answer:?}");
            }
        }
    }
}

#[test]
fn an_operator_reads_everything_and_writes_nothing() {
    for kind in KINDS {
        for action in ACTIONS {
            if kind == RecordKind::Capsule && action == Action::Create {
                continue;
            }
            let answer = act(&mut furnished(), kind, action, &operator());
            assert_eq!(answer.is_ok(), action == Action::Read, "{kind:?} {action:?}: {answer:?}");
        }
    }
}

#[test]
fn grants_reach_down_from_folders_galleries_and_the_capsule_and_add_up() {
    let mut world = hub();
    world.folder("top", None);
    world.folder("sub", Some("top"));
    world.memory("in-sub", Some("sub"));
    world.memory("elsewhere", None);
    world.gallery("show", &["elsewhere"]);
    world.group("friends", &["frank", "fay"]);
    world.entry(grant("1", Resource::Folder("top".into()), "bob", 1));
    world.entry(grant("2", Resource::Memory("in-sub".into()), "bob", 2));
    world.entry(to_group("3", Resource::Gallery("show".into()), "friends", 4));
    world.entry(grant("4", Resource::Capsule, "carl", 8));
    world.entry(public("5", Resource::Memory("elsewhere".into()), 1));
    let memory = |id: &str| Resource::Memory(id.into());
    let cells = [
        ("alice", memory("in-sub"), 31),
        ("bob", memory("in-sub"), 3),
        ("bob", Resource::Folder("sub".into()), 1),
        ("bob", Resource::Folder("top".into()), 1),
        ("bob", memory("elsewhere"), 1),
        ("bob", Resource::Capsule, 0),
        ("fay", memory("elsewhere"), 5),
        ("fay", Resource::Gallery("show".into()), 4),
        ("fay", memory("in-sub"), 0),
        ("carl", memory("elsewhere"), 9),
        ("carl", Resource::Gallery("show".into()), 8),
        ("nobody", memory("elsewhere"), 1),
        ("nobody", memory("in-sub"), 0),
    ];
    for (name, resource, expected) in cells {
        assert_eq!(world.effective(name, resource.clone()), expected, "{name} on {resource:?}");
    }
}

#[test]
fn each_kind_of_entry_grants_to_whom_its_table_says_or_is_refused() {
    use GrantSource::*;
    // source, person, public, source id -> granted to bob (member of the group), to a stranger
    let cells = [
        (User, true, false, None, Some((1, 0))),
        (MagicLink, true, false, None, Some((1, 0))),
        (System, true, false, None, Some((1, 0))),
        (Group, true, false, Some("group"), Some((1, 0))),
        (User, false, true, None, Some((1, 1))),
        (MagicLink, false, true, None, Some((1, 1))),
        (System, false, true, None, Some((1, 1))),
        (Group, false, false, Some("group"), Some((1, 0))),
        (MagicLink, false, false, None, Some((0, 0))),
        (Group, false, true, Some("group"), None),
        (Group, false, false, None, None),
        (Group, false, false, Some("no-such-group"), None),
        (User, false, false, None, None),
        (System, false, false, None, None),
        (User, true, true, None, None),
    ];
    for (source, named, is_public, source_id, expected) in cells {
        let mut world = hub();
        world.memory("m", None);
        world.group("group", &["bob"]);
        let input = AccessInput {
            person: named.then(|| person("bob")),
            source,
            source_id: source_id.map(Into::into),
            is_public,
            ..grant("e", Resource::Memory("m".into()), "bob", 1)
        };
        let made = world.store.create::<AccessEntry>(&by("alice"), &world.capsule, input.clone());
        match expected {
            Some((bob, stranger)) => {
                made.unwrap();
                assert_eq!(world.effective("bob", Resource::Memory("m".into())), bob, "{input:?}");
                assert_eq!(world.effective("stranger", Resource::Memory("m".into())), stranger, "{input:?}");
            }
            None => assert!(matches!(made, Err(Error::Invalid(_))), "{input:?}"),
        }
    }
}

#[test]
fn nobody_grants_themselves_more_through_a_gallery_or_a_folder() {
    let mut world = hub();
    world.memory("secret", None);
    world.memory("own", None);
    world.folder("f", None);
    world.gallery("g", &[]);
    world.entry(grant("1", Resource::Gallery("g".into()), "bob", 31));
    world.entry(grant("2", Resource::Folder("f".into()), "bob", 31));
    world.entry(grant("3", Resource::Memory("own".into()), "bob", 8));
    let capsule = world.capsule.clone();
    let refused = |answer: Answer<()>| assert!(matches!(answer, Err(Error::Unauthorized(_))), "{answer:?}");
    for memory in ["secret", "own"] {
        refused(
            world.store.update::<Gallery>(&by("bob"), &capsule, "g", gallery_input("g", &[memory])).map(drop),
        );
        refused(
            world
                .store
                .update::<Memory>(&by("bob"), &capsule, memory, memory_input(memory, Some("f")))
                .map(drop),
        );
    }
    assert_eq!(world.effective("bob", Resource::Memory("secret".into())), 0);
    assert_eq!(world.effective("bob", Resource::Memory("own".into())), 8);
}

#[test]
fn the_matrix_in_pages_of_any_size_is_the_same() {
    let mut world = furnished();
    world.memory("second", None);
    world.entry(public("open", Resource::Folder(F.into()), 1));
    world.entry(to_group("g1", Resource::Gallery(G.into()), "group", 4));
    world.entry(grant("b1", Resource::Capsule, "bob", 2));
    let whole = world.store.access_matrix(&operator(), &world.capsule, NOW, None, 1_000).unwrap();
    assert_eq!(whole.next, None);
    for row in &whole.rows {
        let access = access::Access::new(&world.store.records, &world.capsule, NOW).unwrap();
        assert_eq!(access.effective(row.person.as_ref(), &row.resource).unwrap(), row.permissions, "{row:?}");
    }
    let row = |name: Option<&str>, resource: Resource| {
        let person = name.map(person);
        whole
            .rows
            .iter()
            .find(|row| row.person == person && row.resource == resource)
            .map(|row| row.permissions)
    };
    assert_eq!(row(Some("gina"), Resource::Memory(M.into())), Some(5));
    assert_eq!(row(Some("ernie"), Resource::Memory(M.into())), Some(1));
    assert_eq!(row(Some("bob"), Resource::Memory("second".into())), Some(2));
    assert_eq!(row(None, Resource::Memory(M.into())), Some(1));
    assert_eq!(row(None, Resource::Memory("second".into())), None);
    for limit in [1, 2, 3, 7] {
        let (mut rows, mut cursor) = (vec![], None);
        loop {
            let cursor_bytes = cursor.as_ref().map(|bytes: &serde_bytes::ByteBuf| bytes.as_slice());
            let page =
                world.store.access_matrix(&operator(), &world.capsule, NOW, cursor_bytes, limit).unwrap();
            assert!(page.rows.len() <= limit as usize);
            rows.extend(page.rows);
            cursor = page.next;
            if cursor.is_none() {
                break;
            }
        }
        assert_eq!(rows, whole.rows, "pages of {limit}");
    }
}

#[test]
fn reach_lists_what_is_granted_by_name_across_capsules_and_nothing_else() {
    let mut world = hub();
    world.memory("m", None);
    world.folder("f", None);
    world.group("g", &["bob", "carl"]);
    world.entry(grant("1", Resource::Memory("m".into()), "bob", 1));
    world.entry(to_group("2", Resource::Folder("f".into()), "g", 3));
    world.entry(public("3", Resource::Capsule, 1));
    let expired = AccessInput {
        condition: AccessCondition::ExpiresAt { expires: NOW },
        ..grant("4", Resource::Capsule, "dora", 1)
    };
    world.entry(expired);
    let second = world.store.capsules_create(&by("bob"), person("bob"), [1; 32]).unwrap().id;
    let reach = |name: &str, limit: u32| {
        let (mut items, mut after) = (vec![], None);
        loop {
            let page = world.store.access_reach(&by(name), after.as_ref(), limit).unwrap();
            items.extend(page.items);
            after = page.next;
            if after.is_none() {
                return items;
            }
        }
    };
    let row = |capsule: &str, resource: Resource, permissions| Reach {
        capsule_id: capsule.into(),
        resource,
        permissions,
    };
    let capsule = world.capsule.as_str();
    for limit in [1, 2, 100] {
        assert_eq!(
            reach("bob", limit),
            [
                row(capsule, Resource::Memory("m".into()), 1),
                row(capsule, Resource::Folder("f".into()), 3),
                row(&second, Resource::Capsule, 31),
            ]
        );
        assert_eq!(reach("carl", limit), [row(capsule, Resource::Folder("f".into()), 3)]);
        assert_eq!(reach("alice", limit), [row(capsule, Resource::Capsule, 31)]);
        assert_eq!(reach("dora", limit), [row(capsule, Resource::Capsule, 1)], "with what everybody has");
        assert_eq!(reach("stranger", limit), []);
    }
}

#[test]
fn who_has_a_grant_for_a_time_cannot_make_it_last_nor_show_it_to_everybody() {
    const SECOND: u64 = 1_000_000_000;
    let mut world = hub();
    let capsule = world.capsule.clone();
    let memory = || Resource::Memory(M.into());
    world.memory(M, None);
    let ends = || AccessCondition::ExpiresAt { expires: NOW + 5 * SECOND };
    world.entry(AccessInput { condition: ends(), ..grant("sam", memory(), "sam", VIEW | SHARE) });
    world.entry(AccessInput { condition: ends(), ..grant("mag", memory(), "mag", VIEW | SHARE | MANAGE) });
    let mut make =
        |who: &str, input: AccessInput| world.store.create::<AccessEntry>(&by(who), &capsule, input);
    let own = make("sam", grant("own", memory(), "sam", VIEW | SHARE)).unwrap();
    assert!(own.is_derived);
    make("sam", grant("friend", memory(), "fred", VIEW)).unwrap();
    assert!(matches!(make("sam", public("all", memory(), VIEW)), Err(Error::Unauthorized(_))));
    make("mag", grant("forever", memory(), "mag", VIEW | SHARE | MANAGE)).unwrap();
    make("mag", public("everybody", memory(), VIEW)).unwrap();
    assert!(!make("alice", grant("gift", memory(), "gus", VIEW)).unwrap().is_derived);
    // an owner's entry that somebody else changes is theirs from then on
    let changed = grant("gift", memory(), "mag", VIEW | SHARE | MANAGE);
    let changed = world.store.update::<AccessEntry>(&by("mag"), &capsule, "gift", changed).unwrap();
    assert_eq!((changed.is_derived, changed.invited_by), (true, Some(person("mag"))));
    let at = |who: &str, at: Time| {
        let call = access::Call { at, ..by(who) };
        world.store.access_effective(&call, &capsule, &memory(), &person(who)).unwrap()
    };
    assert_eq!(
        (at("sam", NOW), at("fred", NOW), at("mag", NOW)),
        (VIEW | SHARE, VIEW, VIEW | SHARE | MANAGE)
    );
    for who in ["sam", "fred", "mag", "stranger"] {
        assert_eq!(at(who, NOW + 5 * SECOND), 0, "{who}");
    }
}

#[test]
fn who_manages_the_capsule_by_an_owners_word_grants_like_an_owner() {
    let mut world = hub();
    let capsule = world.capsule.clone();
    world.memory(M, None);
    world.entry(grant("adam", Resource::Capsule, "adam", VIEW | SHARE | MANAGE));
    let made = world
        .store
        .create::<AccessEntry>(&by("adam"), &capsule, grant("gift", Resource::Memory(M.into()), "gus", VIEW))
        .unwrap();
    assert!(!made.is_derived);
    world.store.delete::<AccessEntry>(&by("alice"), &capsule, "adam").unwrap();
    assert_eq!(world.effective("gus", Resource::Memory(M.into())), VIEW);
}
