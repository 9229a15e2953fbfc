//! The index is at all times what follows from the records; permissions by index equal permissions
//! worked out from plain collections.

mod world;

use access::rules::{ceiling, is_met, CONTROLLER, OWNER};
use access::Access;
use capsule::index::Indexed;
use proptest::prelude::*;
use std::collections::BTreeSet;
use types::record_kinds::Record;
use types::*;
use world::*;

const PEOPLE: [&str; 4] = ["alice", "bob", "carl", "dora"];

/// One random wish; many are refused, which must change nothing that matters here.
#[derive(Clone, Debug)]
enum Wish {
    Memory { id: u8, folder: Option<u8>, update: bool },
    Folder { id: u8, parent: Option<u8>, update: bool },
    Gallery { id: u8, memories: Vec<u8>, update: bool },
    Group { id: u8, members: Vec<u8>, update: bool },
    Entry { id: u8, on: (u8, u8), to: (u8, u8), permissions: u32, condition: u8, update: bool },
    Holders { owners: Vec<u8>, controllers: Vec<u8> },
    Delete { kind: u8, id: u8 },
}

fn wish() -> impl Strategy<Value = Wish> {
    let id = 0..4u8;
    let few = prop::collection::vec(0..4u8, 0..4);
    prop_oneof![
        (id.clone(), prop::option::of(0..4u8), any::<bool>()).prop_map(|(id, folder, update)| Wish::Memory {
            id,
            folder,
            update
        }),
        (id.clone(), prop::option::of(0..4u8), any::<bool>()).prop_map(|(id, parent, update)| Wish::Folder {
            id,
            parent,
            update
        }),
        (id.clone(), few.clone(), any::<bool>()).prop_map(|(id, memories, update)| Wish::Gallery {
            id,
            memories,
            update
        }),
        (id.clone(), few.clone(), any::<bool>()).prop_map(|(id, members, update)| Wish::Group {
            id,
            members,
            update
        }),
        (0..6u8, (0..4u8, 0..4u8), (0..3u8, 0..4u8), 1..32u32, 0..4u8, any::<bool>()).prop_map(
            |(id, on, to, permissions, condition, update)| Wish::Entry {
                id,
                on,
                to,
                permissions,
                condition,
                update
            }
        ),
        (few.clone(), few).prop_map(|(owners, controllers)| Wish::Holders { owners, controllers }),
        (0..5u8, 0..6u8).prop_map(|(kind, id)| Wish::Delete { kind, id }),
    ]
}

fn resource((kind, id): (u8, u8)) -> Resource {
    match kind {
        0 => Resource::Capsule,
        1 => Resource::Memory(format!("m{id}")),
        2 => Resource::Folder(format!("f{id}")),
        _ => Resource::Gallery(format!("g{id}")),
    }
}

fn names(ids: &[u8]) -> Vec<&'static str> {
    let unique: BTreeSet<u8> = ids.iter().copied().collect();
    unique.into_iter().map(|id| PEOPLE[id as usize]).collect()
}

fn grant_wish(world: &mut World, wish: Wish) {
    let capsule = world.capsule.clone();
    let call = by("alice");
    macro_rules! put {
        ($record:ty, $id:expr, $input:expr, $update:expr) => {
            if $update {
                world.store.update::<$record>(&call, &capsule, &$id, $input).map(drop)
            } else {
                world.store.create::<$record>(&call, &capsule, $input).map(drop)
            }
        };
    }
    // refusals are part of the game
    let _ = match wish {
        Wish::Memory { id, folder, update } => {
            let (id, folder) = (format!("m{id}"), folder.map(|folder| format!("f{folder}")));
            put!(Memory, id, memory_input(&id, folder.as_deref()), update)
        }
        Wish::Folder { id, parent, update } => {
            let (id, parent) = (format!("f{id}"), parent.map(|parent| format!("f{parent}")));
            put!(Folder, id, folder_input(&id, parent.as_deref()), update)
        }
        Wish::Gallery { id, memories, update } => {
            let id = format!("g{id}");
            let memories: Vec<String> = memories.iter().map(|memory| format!("m{memory}")).collect();
            let memories: Vec<&str> = memories.iter().map(String::as_str).collect();
            put!(Gallery, id, gallery_input(&id, &memories), update)
        }
        Wish::Group { id, members, update } => {
            let id = format!("x{id}");
            put!(Group, id, group_input(&id, &names(&members)), update)
        }
        Wish::Entry { id, on, to, permissions, condition, update } => {
            let id = format!("e{id}");
            let input = match to {
                (0, person) => grant(&id, resource(on), PEOPLE[person as usize], permissions),
                (1, group) => to_group(&id, resource(on), &format!("x{group}"), permissions),
                _ => public(&id, resource(on), permissions & 3),
            };
            let condition = match condition {
                0 => AccessCondition::Immediate,
                1 => AccessCondition::ExpiresAt { expires: NOW },
                2 => AccessCondition::Scheduled { accessible_after: NOW },
                _ => AccessCondition::EventTriggered { event: "never".into() },
            };
            put!(AccessEntry, id, AccessInput { condition, ..input }, update)
        }
        Wish::Holders { owners, controllers } => {
            let mut owners = names(&owners);
            owners.retain(|name| *name != "alice");
            owners.push("alice");
            let persons = |names: Vec<&str>| Some(names.into_iter().map(person).collect());
            let (owners, controllers) = (persons(owners), persons(names(&controllers)));
            let update = CapsuleUpdate { owners, controllers, settings: None };
            world.store.capsules_update(&call, &capsule, update).map(drop)
        }
        Wish::Delete { kind, id } => match kind {
            0 => world.store.delete::<Memory>(&call, &capsule, &format!("m{id}")),
            1 => world.store.delete::<Folder>(&call, &capsule, &format!("f{id}")),
            2 => world.store.delete::<Gallery>(&call, &capsule, &format!("g{id}")),
            3 => world.store.delete::<Group>(&call, &capsule, &format!("x{id}")),
            _ => world.store.delete::<AccessEntry>(&call, &capsule, &format!("e{id}")),
        },
    };
}

fn all<R: Record>(world: &World) -> Vec<R> {
    world.store.records.list(&world.capsule, None).map(|entry| entry.unwrap().1).collect()
}

fn facts_of_all(world: &World) -> BTreeSet<Vec<u8>> {
    let mut facts = BTreeSet::new();
    macro_rules! add {
        ($($record:ty),*) => {$( facts.extend(all::<$record>(world).iter().flat_map(Indexed::facts)); )*};
    }
    add!(Capsule, Memory, Folder, Gallery, AccessEntry, Connection, Group);
    facts
}

/// The effective permission, straight from the records.
fn by_hand(world: &World, name: &str, on: &Resource) -> Option<u32> {
    let (memories, folders, galleries) = (all::<Memory>(world), all::<Folder>(world), all::<Gallery>(world));
    let head = all::<Capsule>(world).remove(0);
    let mut places = vec![Resource::Capsule];
    let mut folder = None;
    match on {
        Resource::Capsule => {}
        Resource::Memory(id) => {
            folder = memories.iter().find(|memory| memory.id == *id)?.metadata.parent_folder_id.clone();
            places.push(on.clone());
            let showing =
                galleries.iter().filter(|gallery| gallery.items.iter().any(|item| item.memory_id == *id));
            places.extend(showing.map(|gallery| Resource::Gallery(gallery.id.clone())));
        }
        Resource::Folder(id) => folder = Some(folders.iter().find(|folder| folder.id == *id)?.id.clone()),
        Resource::Gallery(id) => {
            places.push(Resource::Gallery(galleries.iter().find(|one| one.id == *id)?.id.clone()))
        }
    }
    while let Some(id) = folder {
        folder = folders.iter().find(|folder| folder.id == id)?.parent_folder_id.clone();
        places.push(Resource::Folder(id));
    }
    let who = person(name);
    let mut mask = 0;
    if head.owners.iter().any(|owner| owner.person == who) {
        mask |= OWNER;
    }
    if head.controllers.iter().any(|controller| controller.person == who) {
        mask |= CONTROLLER;
    }
    let groups = all::<Group>(world);
    for entry in all::<AccessEntry>(world) {
        let member = || {
            let group = groups.iter().find(|group| Some(&group.id) == entry.source_id.as_ref());
            group.is_some_and(|group| group.members.contains(&who))
        };
        let meant = match &entry.person {
            Some(named) => *named == who,
            None => entry.is_public || (entry.source == GrantSource::Group && member()),
        };
        if meant && places.contains(&entry.resource) && is_met(&entry.condition, NOW, &[]) {
            mask |= entry.permissions & ceiling(entry.role);
        }
    }
    Some(mask)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..Default::default() })]

    #[test]
    fn index_and_permissions_follow_from_the_records(wishes in prop::collection::vec(wish(), 1..60)) {
        let mut world = hub();
        for wish in wishes {
            grant_wish(&mut world, wish);
        }
        let index: BTreeSet<Vec<u8>> = world.store.records.index.iter().collect();
        prop_assert_eq!(&index, &facts_of_all(&world));

        let access = Access::new(&world.store.records, &world.capsule, NOW).unwrap();
        let matrix = access.matrix(None, 1_000).unwrap().rows;
        let ids = (0..4u8).flat_map(|kind| (0..4u8).map(move |id| resource((kind, id))));
        for on in ids.collect::<BTreeSet<_>>() {
            for name in PEOPLE.into_iter().chain(["stranger"]) {
                let found = access.effective(Some(&person(name)), &on).ok();
                prop_assert_eq!(found, by_hand(&world, name, &on), "{} on {:?}", name, on);
                let row = matrix.iter().find(|row| row.person == Some(person(name)) && row.resource == on);
                if let Some(row) = row {
                    prop_assert_eq!(Some(row.permissions), found);
                } else if let Some(found) = found {
                    prop_assert_eq!(found, access.effective(None, &on).unwrap(), "only what everybody has");
                }
            }
        }
        for name in PEOPLE {
            let reach = world.store.access_reach(&by(name), None, 1_000).unwrap().items;
            for item in reach {
                prop_assert_eq!(Some(item.permissions), by_hand(&world, name, &item.resource));
            }
        }
        let records: u64 = world.store.records.total(&world.capsule).records;
        prop_assert_eq!(records, world.store.manifest.totals(&world.capsule).records);
        let bytes: u64 = world.store.records.export(&world.capsule, None).map(|record| record.bytes.len() as u64).sum();
        prop_assert_eq!(bytes, world.store.records.total(&world.capsule).bytes);
        prop_assert_eq!(bytes, world.store.manifest.totals(&world.capsule).record_bytes);
    }
}
