//! The head of a capsule and the capsule as a whole: create, list, sum up, change, delete.

use crate::registry::{Registration, Residence};
use crate::store::{Access, Store};
use access::rules::{self, rule, Action};
use access::{unauthorized, Call};
use ic_stable_structures::Memory as StableMemory;
use serde_bytes::ByteBuf;
use types::limits::*;
use types::record_kinds::stored_kinds;
use types::*;

/// Records that one call of `capsules_delete` deletes.
const DELETED_AT_ONCE: usize = 2_000;

impl<M: StableMemory> Store<M> {
    /// The capsule that `capsules_create` of this caller answers without making one, if any.
    ///
    /// Unauthorized where the caller may not make one for that subject: everybody makes their own,
    /// operators make them for others.
    pub fn capsule_of(&self, call: &Call, subject: &PersonRef) -> Answer<Option<Capsule>> {
        check::person(subject)?;
        if call.is_anonymous() || (!call.operator && *subject != call.person()) {
            return Err(unauthorized(call));
        }
        let existing = self.records.index.capsules_about(subject).next();
        let Some(id) = existing else { return Ok(None) };
        self.registry.get(&id)?.readable(&id)?;
        Ok(Some(self.records.get(&id, &id)?))
    }

    /// Makes a capsule. The subject owns it; an operator who makes it for somebody else may fill it
    /// (see `Registration::provisioner`). `token_secret` signs its asset tokens.
    pub fn capsules_create(
        &mut self,
        call: &Call,
        subject: PersonRef,
        token_secret: Digest,
    ) -> Answer<Capsule> {
        if let Some(existing) = self.capsule_of(call, &subject)? {
            return Ok(existing);
        }
        check::owners(std::slice::from_ref(&subject), self.hub)?;
        let id = loop {
            let id = format!("capsule-{}", self.header.next_number());
            if self.registry.find(&id).is_none() {
                break id;
            }
        };
        let capsule = Capsule {
            id: id.clone(),
            owners: vec![OwnerState { person: subject.clone(), since: call.at, last_activity_at: call.at }],
            subject,
            controllers: vec![],
            settings: CapsuleSettings {
                hosting: HostingPreferences {
                    frontend: "icp".into(),
                    backend: "icp".into(),
                    database: "icp".into(),
                    blobs: "icp".into(),
                },
                has_advanced_settings: false,
                triggered_events: vec![],
            },
            created_at: call.at,
            updated_at: call.at,
        };
        let registration = Registration {
            provisioner: Some(call.caller).filter(|_| capsule.subject != call.person()),
            ..Registration::new(Residence::Hub, ByteBuf::from(token_secret))
        };
        self.registry.put(&id, &registration);
        self.put(&capsule)?;
        Ok(capsule)
    }

    pub fn capsules_get(&self, call: &Call, capsule: &str) -> Answer<Capsule> {
        let access = self.reading(call, capsule)?;
        let (_, needed) = rule(RecordKind::Capsule, Action::Read);
        self.allow_read(call, &access, &Resource::Capsule, needed)?;
        Ok(access.capsule().clone())
    }

    pub fn capsules_summary(&self, call: &Call, capsule: &str) -> Answer<CapsuleSummary> {
        let head = self.capsules_get(call, capsule)?;
        self.summary_of(&head)
    }

    /// The capsules that the caller may see: all for operators. At most `limit` are looked at.
    pub fn capsules_list(
        &self,
        call: &Call,
        after: Option<&str>,
        limit: u32,
    ) -> Answer<Page<CapsuleSummary>> {
        let limit = check::limit(limit)?;
        let person = call.person();
        let mut items = Vec::new();
        let mut last: Option<String> = after.map(str::to_string);
        for _ in 0..limit {
            let Some(id) = self.next_capsule(call, &person, last.as_deref()) else {
                return Ok(Page { items, next: None });
            };
            if let Some(access) = self.listed(call, &id)? {
                items.push(self.summary_of(access.capsule())?);
            }
            last = Some(id);
        }
        let next = self.next_capsule(call, &person, last.as_deref()).and(last);
        Ok(Page { items, next })
    }

    /// The access rules of a capsule that the caller sees in the list.
    fn listed(&self, call: &Call, id: &str) -> Answer<Option<Access<'_, M>>> {
        let registration = self.registry.get(id)?;
        if registration.deleting {
            return Ok(None);
        }
        if let Residence::MovedTo(_) = registration.residence {
            return Ok(self.exporting(call, id).ok());
        }
        let access = Access::new(&self.records, id, call.at)?;
        let (_, needed) = rule(RecordKind::Capsule, Action::Read);
        let is_seen = self.allow_read(call, &access, &Resource::Capsule, needed).is_ok();
        Ok(Some(access).filter(|_| is_seen))
    }

    fn next_capsule(&self, call: &Call, person: &PersonRef, after: Option<&str>) -> Option<String> {
        if call.operator {
            return self.registry.ids(after).next();
        }
        let from = after.map(|id| format!("{id}\u{1}")).unwrap_or_default();
        self.records.index.capsule_reached(person, &from)
    }

    /// The summary of a capsule whose head is at hand.
    pub fn summary_of(&self, head: &Capsule) -> Answer<CapsuleSummary> {
        let count = |kind| self.records.count_of(&head.id, kind).records;
        let blobs = self.blobs.totals(&head.id);
        Ok(CapsuleSummary {
            id: head.id.clone(),
            subject: head.subject.clone(),
            memories: count(RecordKind::Memory),
            folders: count(RecordKind::Folder),
            galleries: count(RecordKind::Gallery),
            access_entries: count(RecordKind::AccessEntry),
            connections: count(RecordKind::Connection),
            groups: count(RecordKind::Group),
            blobs: blobs.blobs,
            blob_bytes: blobs.bytes,
            chunks: blobs.chunks,
            record_bytes: self.records.total(&head.id).bytes,
            home: self.registry.get(&head.id)?.residence.home(self.me),
        })
    }

    /// Owners and controllers change with OWN, settings with MANAGE. A capsule keeps an owner.
    pub fn capsules_update(&mut self, call: &Call, capsule: &str, update: CapsuleUpdate) -> Answer<Capsule> {
        let access = self.reading(call, capsule)?;
        let (_, mut needed) = rule(RecordKind::Capsule, Action::Change);
        if update.owners.is_some() || update.controllers.is_some() {
            needed |= rules::OWN;
        }
        self.allow(call, &access, &Resource::Capsule, needed)?;
        self.writable(call, capsule)?;
        let old = access.capsule().clone();
        let mut new = old.clone();
        if let Some(owners) = update.owners {
            check::owners(&owners, self.hub)?;
            let known = |person: &PersonRef| old.owners.iter().find(|owner| owner.person == *person).cloned();
            new.owners = owners
                .into_iter()
                .map(|person| {
                    known(&person).unwrap_or(OwnerState { person, since: call.at, last_activity_at: call.at })
                })
                .collect();
        }
        if let Some(controllers) = update.controllers {
            check::persons("controllers", &controllers, MAX_OWNERS)?;
            let known =
                |person: &PersonRef| old.controllers.iter().find(|known| known.person == *person).cloned();
            new.controllers = controllers
                .into_iter()
                .map(|person| {
                    let granted_by = call.person();
                    known(&person).unwrap_or(ControllerState { person, granted_at: call.at, granted_by })
                })
                .collect();
            self.registry.change(capsule, |known| known.provisioner = None)?;
        }
        if let Some(settings) = update.settings {
            check::settings(&settings)?;
            new.settings = settings;
        }
        if new != old {
            new.updated_at = call.at;
            self.put(&new)?;
        }
        Ok(new)
    }

    /// Suspends a capsule, or ends that: by operators, whether they may read it or not.
    pub fn capsules_suspend(&mut self, call: &Call, capsule: &str, suspended: bool) -> Answer<()> {
        if !call.operator {
            return Err(unauthorized(call));
        }
        self.registry.change(capsule, |known| known.suspended = suspended)?;
        Ok(())
    }

    /// Deletes a capsule with all that is in it: by its owners, or, suspended, by operators. Work is bounded: where something is left the
    /// answer is a Conflict that says so, the capsule is not there any more for anybody else, and
    /// the call is repeated.
    pub fn capsules_delete(&mut self, call: &Call, capsule: &str) -> Answer<()> {
        let registration = self.registry.get(capsule)?;
        let access = Access::new(&self.records, capsule, call.at)?;
        let (_, needed) = rule(RecordKind::Capsule, Action::Delete);
        if call.operator && registration.suspended {
            if let Residence::MovedTo(canister) = registration.residence {
                return Err(Error::Moved(canister));
            }
        } else {
            self.allow(call, &access, &Resource::Capsule, needed)?;
            if !registration.deleting {
                self.writable(call, capsule)?;
            }
        }
        if !registration.deleting {
            self.registry.change(capsule, |known| known.deleting = true)?;
        }
        self.delete_content(capsule)?;
        self.registry.remove(capsule);
        Ok(())
    }

    /// Deletes what is left here of a capsule that was handed off. Where it lives stays known, and
    /// which memories it had: who asks for them is sent there. Bounded as `capsules_delete` is.
    pub fn delete_copy(&mut self, capsule: &str) -> Answer<()> {
        if self.registry.get(capsule)?.handed_off_to().is_none() {
            return Err(Error::Conflict(format!("capsule {capsule} is not handed off")));
        }
        self.registry.change(capsule, |known| known.certified_root = None)?;
        if !self.records.contains(capsule, RecordKind::Capsule, capsule) {
            return Ok(());
        }
        let head: Capsule = self.records.get(capsule, capsule)?;
        self.delete_content(capsule)?;
        self.records.index.remember_subject(capsule, &head.subject);
        Ok(())
    }

    fn delete_content(&mut self, capsule: &str) -> Answer<()> {
        let has_moved = self.registry.get(capsule)?.handed_off_to().is_some();
        let mut left = DELETED_AT_ONCE;
        // first what is certified, which is shown for as long as that is so
        left -= self.http.withdraw_some(capsule, left);
        // the head goes last: it says who may go on deleting
        for kind in stored_kinds().filter(|&kind| kind != RecordKind::Capsule) {
            let ids: Vec<String> = self.records.ids(capsule, kind, None).take(left).collect();
            for id in &ids {
                self.remove_kind(capsule, kind, id)?;
                if has_moved && kind == RecordKind::Memory {
                    self.records.index.remember_memory(capsule, id);
                }
            }
            left -= ids.len();
        }
        if left == 0 || !self.blobs.detach_all(capsule, left) {
            return Err(Error::Conflict("not everything is deleted yet: call again".into()));
        }
        self.remove::<Capsule>(capsule, capsule)
    }

    fn remove_kind(&mut self, capsule: &str, kind: RecordKind, id: &str) -> Answer<()> {
        match kind {
            RecordKind::Capsule => self.remove::<Capsule>(capsule, id),
            RecordKind::Memory => self.remove::<Memory>(capsule, id),
            RecordKind::Folder => self.remove::<Folder>(capsule, id),
            RecordKind::Gallery => self.remove::<Gallery>(capsule, id),
            RecordKind::AccessEntry => self.remove::<AccessEntry>(capsule, id),
            RecordKind::Connection => self.remove::<Connection>(capsule, id),
            RecordKind::Group => self.remove::<Group>(capsule, id),
            RecordKind::Blob => Ok(()),
        }
    }
}
