//! A store in plain memory, with people.
#![allow(dead_code)]

use access::Call;
use candid::Principal;
use capsule::import::Import;
use capsule::store::Store;
use ic_stable_structures::VectorMemory;
use serde_bytes::ByteBuf;
use storage::header::CanisterKind;
use types::*;

pub const HUB: Principal = Principal::from_slice(&[0, 0, 0, 0, 0, 0, 0, 1, 1, 1]);
pub const HOME: Principal = Principal::from_slice(&[0, 0, 0, 0, 0, 0, 0, 2, 1, 1]);
pub const NOW: Time = 1_700_000_000_000_000_000;

pub fn principal(name: &str) -> Principal {
    Principal::from_slice(name.as_bytes())
}

pub fn person(name: &str) -> PersonRef {
    PersonRef::Principal(principal(name))
}

/// A call by somebody who is no operator.
pub fn by(name: &str) -> Call {
    Call { caller: principal(name), operator: false, at: NOW }
}

pub fn operator() -> Call {
    Call { caller: principal("operator"), operator: true, at: NOW }
}

/// A hub with one capsule of alice.
pub struct World {
    pub store: Store<VectorMemory>,
    pub capsule: String,
}

pub fn hub() -> World {
    let memories = storage::memory::manager(VectorMemory::default(), 1);
    let mut store = Store::open(&memories, CanisterKind::Hub, HUB);
    let capsule = store.capsules_create(&by("alice"), person("alice"), [7; 32]).unwrap().id;
    World { store, capsule }
}

pub fn personal(capsule: &str) -> (Store<VectorMemory>, Import<VectorMemory>) {
    let memories = storage::memory::manager(VectorMemory::default(), 1);
    let mut personal = (Store::open(&memories, CanisterKind::Personal, HOME), Import::init(&memories));
    begin(capsule, &mut personal);
    personal
}

/// Does what a personal canister does at install.
pub fn begin(capsule: &str, (store, import): &mut (Store<VectorMemory>, Import<VectorMemory>)) {
    let init = PersonalInit { capsule_id: capsule.into(), hub: HUB, operators: vec![principal("operator")] };
    import.begin(store, init).unwrap();
}

pub fn memory_input(id: &str, folder: Option<&str>) -> MemoryInput {
    MemoryInput {
        id: Some(id.into()),
        memory_type: MemoryType::Image,
        title: Some(format!("Title of {id}")),
        description: None,
        content_type: "image/jpeg".into(),
        tags: vec!["été".into()],
        people: vec![],
        location: None,
        notes: None,
        parent_folder_id: folder.map(Into::into),
        file_created_at: Some(5),
        date_of_memory: None,
        assets: vec![],
    }
}

pub fn asset(variant_: AssetVariant, location: AssetLocation) -> Asset {
    Asset {
        variant_,
        name: "a photo.jpg".into(),
        description: None,
        mime_type: "image/jpeg".into(),
        tags: vec![],
        detail: AssetDetail::Note { format: None, language: None, word_count: None },
        location,
        created_at: 1,
        updated_at: 2,
    }
}

pub fn folder_input(id: &str, parent: Option<&str>) -> FolderInput {
    FolderInput {
        id: Some(id.into()),
        title: id.into(),
        description: None,
        parent_folder_id: parent.map(Into::into),
    }
}

pub fn gallery_input(id: &str, memories: &[&str]) -> GalleryInput {
    let item = |memory: &&str| GalleryItem {
        memory_id: (*memory).into(),
        caption: None,
        is_featured: false,
        metadata: None,
    };
    GalleryInput {
        id: Some(id.into()),
        title: id.into(),
        description: None,
        cover_memory_id: None,
        items: memories.iter().map(item).collect(),
    }
}

pub fn group_input(id: &str, members: &[&str]) -> GroupInput {
    GroupInput {
        id: Some(id.into()),
        name: id.into(),
        description: None,
        members: members.iter().map(|name| person(name)).collect(),
    }
}

/// An entry for one person, with the role that can have the mask.
pub fn grant(id: &str, resource: Resource, to: &str, permissions: u32) -> AccessInput {
    AccessInput {
        id: Some(id.into()),
        resource,
        person: Some(person(to)),
        role: role_for(permissions),
        permissions,
        source: GrantSource::User,
        source_id: None,
        condition: AccessCondition::Immediate,
        is_public: false,
    }
}

pub fn public(id: &str, resource: Resource, permissions: u32) -> AccessInput {
    AccessInput {
        person: None,
        is_public: true,
        role: types::Role::Guest,
        ..grant(id, resource, "x", permissions)
    }
}

pub fn to_group(id: &str, resource: Resource, group: &str, permissions: u32) -> AccessInput {
    AccessInput {
        person: None,
        source: GrantSource::Group,
        source_id: Some(group.into()),
        ..grant(id, resource, "x", permissions)
    }
}

fn role_for(permissions: u32) -> types::Role {
    use types::Role;
    match permissions {
        16.. => Role::Owner,
        8.. => Role::Admin,
        4.. => Role::Member,
        _ => Role::Guest,
    }
}

impl World {
    pub fn memory(&mut self, id: &str, folder: Option<&str>) -> Memory {
        self.store.create(&by("alice"), &self.capsule, memory_input(id, folder)).unwrap()
    }

    pub fn folder(&mut self, id: &str, parent: Option<&str>) -> Folder {
        self.store.create(&by("alice"), &self.capsule, folder_input(id, parent)).unwrap()
    }

    pub fn gallery(&mut self, id: &str, memories: &[&str]) -> Gallery {
        self.store.create(&by("alice"), &self.capsule, gallery_input(id, memories)).unwrap()
    }

    pub fn group(&mut self, id: &str, members: &[&str]) -> Group {
        self.store.create(&by("alice"), &self.capsule, group_input(id, members)).unwrap()
    }

    pub fn entry(&mut self, input: AccessInput) -> AccessEntry {
        self.store.create(&by("alice"), &self.capsule, input).unwrap()
    }

    pub fn upload(&mut self, bytes: &[u8]) -> Digest {
        let call = by("alice");
        let sha256 = storage::digest::sha256(bytes);
        self.store.uploads_begin(&call, &self.capsule, &sha256, bytes.len() as u64).unwrap();
        for (index, chunk) in bytes.chunks(1_900_000).enumerate() {
            self.store.uploads_put_chunk(&call, &self.capsule, &sha256, index as u32, chunk).unwrap();
        }
        assert!(self.store.uploads_finish(&call, &self.capsule, &sha256).unwrap().complete);
        sha256
    }

    /// A memory with the bytes as a blob.
    pub fn photo(&mut self, id: &str, bytes: &[u8]) -> Memory {
        let sha256 = self.upload(bytes);
        let location = AssetLocation::Internal { sha256: ByteBuf::from(sha256), length: bytes.len() as u64 };
        let input =
            MemoryInput { assets: vec![asset(AssetVariant::Original, location)], ..memory_input(id, None) };
        self.store.create(&by("alice"), &self.capsule, input).unwrap()
    }

    pub fn effective(&self, name: &str, resource: Resource) -> u32 {
        self.store.access_effective(&by(name), &self.capsule, &resource, &person(name)).unwrap()
    }
}
