//! The rules of access over plain vectors: they need no store of records.

use access::rules::{DOWNLOAD, MANAGE, OWNER, SHARE, VIEW};
use access::{reach, Access, Grantee, Grants};
use types::*;

const NOW: Time = 100;

/// One capsule of alice: a memory in a folder in a folder, shown in a gallery.
struct Plain {
    entries: Vec<AccessEntry>,
    groups: Vec<Group>,
}

fn person(name: &str) -> PersonRef {
    PersonRef::Opaque(name.into())
}

fn folder(id: &str, parent: Option<&str>) -> Folder {
    Folder {
        id: id.into(),
        capsule_id: "c".into(),
        title: id.into(),
        description: None,
        parent_folder_id: parent.map(Into::into),
        created_at: 0,
        updated_at: 0,
    }
}

fn entry(id: &str, resource: Resource, to: Grantee, permissions: u32) -> AccessEntry {
    let (person, group) = match &to {
        Grantee::Person(person) => (Some(person.clone()), None),
        Grantee::Group(group) => (None, Some(group.clone())),
        Grantee::Everybody | Grantee::Nobody => (None, None),
    };
    AccessEntry {
        id: id.into(),
        capsule_id: "c".into(),
        resource,
        person,
        role: Role::Admin,
        permissions,
        source: if group.is_some() { GrantSource::Group } else { GrantSource::User },
        source_id: group,
        condition: AccessCondition::Immediate,
        is_public: to == Grantee::Everybody,
        invited_by: None,
        created_at: 0,
        updated_at: 0,
        is_derived: false,
    }
}

impl Grants for Plain {
    fn capsule(&self, id: &str) -> Answer<Capsule> {
        let hosting = || "icp".to_string();
        Ok(Capsule {
            id: id.into(),
            subject: person("alice"),
            owners: vec![OwnerState { person: person("alice"), since: 0, last_activity_at: 0 }],
            controllers: vec![],
            settings: CapsuleSettings {
                hosting: HostingPreferences {
                    frontend: hosting(),
                    backend: hosting(),
                    database: hosting(),
                    blobs: hosting(),
                },
                has_advanced_settings: false,
                triggered_events: vec![],
            },
            created_at: 0,
            updated_at: 0,
        })
    }

    fn memory(&self, capsule: &str, id: &str) -> Answer<Memory> {
        if id != "memory" {
            return Err(Error::NotFound(id.into()));
        }
        let metadata = MemoryMetadata {
            memory_type: MemoryType::Note,
            title: None,
            description: None,
            content_type: "text/plain".into(),
            tags: vec![],
            people: vec![],
            location: None,
            notes: None,
            parent_folder_id: Some("inner".into()),
            created_by: None,
            created_at: 0,
            updated_at: 0,
            uploaded_at: 0,
            file_created_at: None,
            date_of_memory: None,
        };
        Ok(Memory { id: id.into(), capsule_id: capsule.into(), metadata, assets: vec![] })
    }

    fn folder(&self, _capsule: &str, id: &str) -> Answer<Option<Folder>> {
        Ok([folder("inner", Some("outer")), folder("outer", None)].into_iter().find(|folder| folder.id == id))
    }

    fn group(&self, _capsule: &str, id: &str) -> Answer<Option<Group>> {
        Ok(self.groups.iter().find(|group| group.id == id).cloned())
    }

    fn contains(&self, capsule: &str, kind: RecordKind, id: &str) -> bool {
        self.next_id(capsule, kind, None).is_some_and(|first| first == id)
            || self.next_id(capsule, kind, Some("inner")).is_some_and(|second| second == id)
    }

    fn next_id(&self, _capsule: &str, kind: RecordKind, after: Option<&str>) -> Option<String> {
        let ids: &[&str] = match kind {
            RecordKind::Memory => &["memory"],
            RecordKind::Folder => &["inner", "outer"],
            RecordKind::Gallery => &["gallery"],
            _ => &[],
        };
        ids.iter().find(|id| after.is_none_or(|after| **id > after)).map(|id| id.to_string())
    }

    fn entries_on(&self, _capsule: &str, resource: &Resource) -> Answer<Vec<AccessEntry>> {
        Ok(self.entries.iter().filter(|entry| entry.resource == *resource).cloned().collect())
    }

    fn entries_for(&self, to: &Grantee, capsule: &str, resource: &Resource) -> Answer<Vec<AccessEntry>> {
        let on = self.entries_on(capsule, resource)?;
        Ok(on.into_iter().filter(|entry| Grantee::of(entry) == *to).collect())
    }

    fn groups_of(&self, person: &PersonRef, _capsule: &str) -> Vec<String> {
        let of = self.groups.iter().filter(|group| group.members.contains(person));
        of.map(|group| group.id.clone()).collect()
    }

    fn galleries_with(&self, _capsule: &str, _memory: &str) -> Vec<String> {
        vec!["gallery".into()]
    }

    fn capsule_reached(&self, _person: &PersonRef, from: &str) -> Option<String> {
        (from <= "c").then(|| "c".into())
    }

    fn resource_granted(&self, to: &Grantee, _capsule: &str, after: Option<&Resource>) -> Option<Resource> {
        let granted = self.entries.iter().filter(|entry| Grantee::of(entry) == *to);
        granted.map(|entry| entry.resource.clone()).filter(|one| after.is_none_or(|after| one > after)).min()
    }
}

fn plain() -> Plain {
    let (memory, gallery) = (Resource::Memory("memory".into()), Resource::Gallery("gallery".into()));
    let family = Group {
        id: "family".into(),
        capsule_id: "c".into(),
        name: "family".into(),
        description: None,
        members: vec![person("fay")],
        created_at: 0,
        updated_at: 0,
    };
    let later = AccessCondition::Scheduled { accessible_after: NOW + 1 };
    let entries = vec![
        entry("1", memory.clone(), Grantee::Person(person("mia")), VIEW),
        entry("2", Resource::Folder("outer".into()), Grantee::Person(person("mia")), DOWNLOAD),
        entry("3", gallery, Grantee::Group("family".into()), VIEW | SHARE),
        entry("4", Resource::Capsule, Grantee::Person(person("ann")), MANAGE),
        AccessEntry { condition: later, ..entry("5", memory, Grantee::Everybody, VIEW) },
    ];
    Plain { entries, groups: vec![family] }
}

#[test]
fn a_memory_is_reached_by_its_folders_its_galleries_its_groups_and_its_capsule() {
    let plain = plain();
    let memory = Resource::Memory("memory".into());
    let at = |at, who: Option<&str>| {
        let access = Access::new(&plain, "c", at).unwrap();
        access.effective(who.map(person).as_ref(), &memory).unwrap()
    };
    let rows =
        [("alice", OWNER), ("mia", VIEW | DOWNLOAD), ("fay", VIEW | SHARE), ("ann", MANAGE), ("bob", 0)];
    for (who, expected) in rows {
        assert_eq!(at(NOW, Some(who)), expected, "{who}");
        assert_eq!(at(NOW + 1, Some(who)), expected | VIEW, "{who}, when everybody may");
    }
    assert_eq!((at(NOW, None), at(NOW + 1, None)), (0, VIEW));
}

#[test]
fn the_matrix_says_what_is_effective_and_nothing_else() {
    let plain = plain();
    let access = Access::new(&plain, "c", NOW + 1).unwrap();
    let (mut rows, mut next): (_, Option<Vec<u8>>) = (vec![], None);
    loop {
        let page = access.matrix(next.as_deref(), 2).unwrap();
        rows.extend(page.rows);
        next = page.next.map(|cursor| cursor.into_vec());
        if next.is_none() {
            break;
        }
    }
    for row in &rows {
        assert_eq!(access.effective(row.person.as_ref(), &row.resource), Ok(row.permissions), "{row:?}");
    }
    let of = |resource: Resource| rows.iter().filter(|row| row.resource == resource).count();
    let folder = |id: &str| Resource::Folder(id.into());
    assert_eq!(of(Resource::Capsule), 2, "alice, ann");
    assert_eq!(of(Resource::Memory("memory".into())), 5, "everybody, alice, ann, fay, mia");
    assert_eq!((of(folder("inner")), of(folder("outer"))), (3, 3), "alice, ann, mia");
    assert_eq!(of(Resource::Gallery("gallery".into())), 3, "alice, ann, fay");
}

#[test]
fn a_person_reaches_what_is_granted_by_name() {
    let plain = plain();
    let resources = |who: &str| {
        let page = reach(&plain, &person(who), None, 10, NOW).unwrap();
        page.items.into_iter().map(|reach| (reach.resource, reach.permissions)).collect::<Vec<_>>()
    };
    let memory = (Resource::Memory("memory".into()), VIEW | DOWNLOAD);
    assert_eq!(resources("mia"), [memory, (Resource::Folder("outer".into()), DOWNLOAD)]);
    assert_eq!(resources("fay"), [(Resource::Gallery("gallery".into()), VIEW | SHARE)]);
    assert_eq!(resources("bob"), []);
}

/// An entry that somebody made by virtue of what was granted to them.
fn derived(id: &str, by: &str, to: &str, permissions: u32) -> AccessEntry {
    let memory = Resource::Memory("memory".into());
    let made = entry(id, memory, Grantee::Person(person(to)), permissions);
    AccessEntry { invited_by: Some(person(by)), is_derived: true, ..made }
}

fn on_memory(entries: Vec<AccessEntry>, who: &str, at: Time) -> u32 {
    let plain = Plain { entries, groups: vec![] };
    let access = Access::new(&plain, "c", at).unwrap();
    access.effective(Some(&person(who)), &Resource::Memory("memory".into())).unwrap()
}

fn given(id: &str, to: &str, permissions: u32) -> AccessEntry {
    entry(id, Resource::Memory("memory".into()), Grantee::Person(person(to)), permissions)
}

#[test]
fn what_somebody_passes_on_is_never_more_than_they_have() {
    let shares = VIEW | SHARE;
    let ends = AccessCondition::ExpiresAt { expires: NOW };
    let first = AccessEntry { condition: ends, ..given("1", "sam", shares) };
    let entries =
        vec![first, derived("2", "sam", "tom", VIEW | DOWNLOAD | SHARE), derived("3", "tom", "uma", VIEW)];
    assert_eq!(on_memory(entries.clone(), "tom", NOW - 1), shares);
    assert_eq!(on_memory(entries.clone(), "uma", NOW - 1), VIEW);
    assert_eq!((on_memory(entries.clone(), "tom", NOW), on_memory(entries.clone(), "uma", NOW)), (0, 0));
    assert_eq!(on_memory(entries[1..].to_vec(), "uma", NOW - 1), 0);
    let views = vec![given("1", "sam", VIEW), derived("2", "sam", "tom", VIEW)];
    assert_eq!(on_memory(views, "tom", NOW), 0, "who may not share passes nothing on");
    let nobody = AccessEntry { invited_by: None, ..derived("2", "sam", "tom", VIEW) };
    assert_eq!(on_memory(vec![given("1", "sam", shares), nobody], "tom", NOW), 0);
}

#[test]
fn rings_and_long_rows_of_grants_give_nothing() {
    let all = VIEW | DOWNLOAD | SHARE | MANAGE;
    assert_eq!(on_memory(vec![derived("1", "sam", "sam", all)], "sam", NOW), 0);
    let ring = vec![derived("1", "sam", "tom", all), derived("2", "tom", "sam", all)];
    assert_eq!((on_memory(ring.clone(), "sam", NOW), on_memory(ring, "tom", NOW)), (0, 0));
    let mut row = vec![given("0", "p0", all)];
    row.extend((0..12).map(|at| derived(&format!("{at}"), &format!("p{at}"), &format!("p{}", at + 1), all)));
    let reached: Vec<usize> =
        (0..=12).filter(|at| on_memory(row.clone(), &format!("p{at}"), NOW) == all).collect();
    assert_eq!(reached, (0..=8).collect::<Vec<_>>());
}

#[test]
fn the_matrix_knows_what_is_derived() {
    let ends = AccessCondition::ExpiresAt { expires: NOW };
    let entries = vec![
        AccessEntry { condition: ends, ..given("1", "sam", VIEW | SHARE) },
        derived("2", "sam", "tom", VIEW | DOWNLOAD),
    ];
    let plain = Plain { entries, groups: vec![] };
    for at in [NOW - 1, NOW] {
        let access = Access::new(&plain, "c", at).unwrap();
        let rows = access.matrix(None, 100).unwrap().rows;
        let of_tom = rows.iter().filter(|row| row.person == Some(person("tom")));
        assert_eq!(
            of_tom.map(|row| row.permissions).collect::<Vec<_>>(),
            if at < NOW { vec![VIEW] } else { vec![] }
        );
    }
}
