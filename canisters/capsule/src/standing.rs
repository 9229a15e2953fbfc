//! What somebody may do in a capsule at all, found out cheaply: for a look at a call before it is paid for.

use crate::store::Store;
use access::{rules, Call, Grantee};
use ic_stable_structures::Memory as StableMemory;
use types::*;

/// Access entries of a caller that are looked at.
const ENTRIES: usize = 200;
/// Capsules of a caller that are looked at.
const CAPSULES: usize = 16;

impl<M: StableMemory> Store<M> {
    /// Whether the caller may do that with anything in the capsule. True, too, where that takes too
    /// long to say: a method asks for the very resource. What everybody may is left out.
    pub fn may_somewhere(&self, call: &Call, capsule: &str, needed: u32) -> bool {
        if call.is_anonymous() {
            return false;
        }
        let Ok(access) = self.reading_anywhere(call, capsule) else { return false };
        let (person, events) = (call.person(), &access.capsule().settings.triggered_events);
        if access.standing(&person) & needed == needed {
            return true;
        }
        let index = &self.records.index;
        let groups = index.groups_of(&person, capsule).take(ENTRIES).map(Grantee::Group);
        let mut looked_at = 0;
        for grantee in [Grantee::Person(person.clone())].into_iter().chain(groups) {
            let mut last: Option<Resource> = None;
            while let Some(resource) = index.resource_granted(&grantee, capsule, last.as_ref()) {
                for id in index.grants(&grantee, capsule, &resource) {
                    looked_at += 1;
                    if looked_at > ENTRIES {
                        return true;
                    }
                    let granted = self.records.get::<AccessEntry>(capsule, &id).map_or(0, |entry| {
                        let counts = rules::is_met(&entry.condition, call.at, events);
                        if counts {
                            entry.permissions & rules::ceiling(entry.role)
                        } else {
                            0
                        }
                    });
                    if granted & needed == needed {
                        return true;
                    }
                }
                last = Some(resource);
            }
        }
        false
    }

    /// The same in one of the first capsules where the caller has anything.
    pub fn may_anywhere(&self, call: &Call, needed: u32) -> bool {
        let person = call.person();
        let mut from = String::new();
        for _ in 0..CAPSULES {
            let Some(capsule) = self.records.index.capsule_reached(&person, &from) else { return false };
            if self.may_somewhere(call, &capsule, needed) {
                return true;
            }
            from = format!("{capsule}\u{1}");
        }
        false
    }

    /// Access in a capsule wherever it lives: what has moved is asked about here, too.
    fn reading_anywhere(&self, call: &Call, capsule: &str) -> Answer<crate::store::Access<'_, M>> {
        self.registry.get(capsule)?;
        crate::store::Access::new(&self.records, capsule, call.at)
    }
}
