//! The hub's records of migrations: one each, changed by events only.
//!
//! ```text
//!  01 id u64 BE            -> the record
//!  02 capsule id           -> id u64 BE of the newest migration of the capsule
//!  03 id u64 BE            -> nothing: cycles are set aside for the migration
//! ```

use crate::phases::{self, EventKind};
use candid::{Nat, Principal};
use ic_stable_structures::memory_manager::MemoryManager;
use ic_stable_structures::{Memory as StableMemory, StableBTreeMap};
use serde_bytes::ByteBuf;
use storage::canonical;
use storage::keys::Key;
use storage::memory::{self, Vm};
use types::*;
use MigrationPhase::{Creating, Reserved};

/// Entries of a ledger; what comes behind is added to the last one.
const MAX_LEDGER: usize = 200;
/// A migration without a canister that has not gone on for longer than this is over: 24 hours.
const RESERVED_FOR: Time = 24 * 60 * 60 * 1_000_000_000;
/// Migrations that one step looks at to find those that are over.
const EXPIRED_AT_ONCE: usize = 100;

/// What happens to a migration. Where each fits, and when it is written down: [`phases::EVENTS`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    CanisterRequested,
    /// Nothing was created.
    CreationRefused,
    CanisterCreated(Principal),
    ModuleInstalled(Digest),
    CapsuleFrozen {
        generation: u64,
    },
    CapsuleThawed,
    /// The manifest of the frozen capsule is complete.
    ManifestBuilt(Digest),
    /// The personal canister is live, and the capsule's home.
    CapsuleMoved,
    /// The owners are the only controllers.
    HandedOff,
    CyclesSpent {
        operation: Expense,
        amount: u128,
        balance_after: u128,
    },
    CyclesReturned(u128),
    /// The canister, if there was one, is deleted.
    Aborted,
}

impl Event {
    pub fn kind(&self) -> EventKind {
        match self {
            Event::CanisterRequested => EventKind::CanisterRequested,
            Event::CreationRefused => EventKind::CreationRefused,
            Event::CanisterCreated(_) => EventKind::CanisterCreated,
            Event::ModuleInstalled(_) => EventKind::ModuleInstalled,
            Event::CapsuleFrozen { .. } => EventKind::CapsuleFrozen,
            Event::CapsuleThawed => EventKind::CapsuleThawed,
            Event::ManifestBuilt(_) => EventKind::ManifestBuilt,
            Event::CapsuleMoved => EventKind::CapsuleMoved,
            Event::HandedOff => EventKind::HandedOff,
            Event::CyclesSpent { .. } => EventKind::CyclesSpent,
            Event::CyclesReturned(_) => EventKind::CyclesReturned,
            Event::Aborted => EventKind::Aborted,
        }
    }
}

/// The one place where a migration changes. Conflict where the event does not fit the phase.
pub fn apply(migration: &mut Migration, event: Event, at: Time) -> Answer<()> {
    migration.phase = phases::next(event.kind(), migration.phase).ok_or_else(|| wrong_phase(migration))?;
    read_from_tables(migration);
    match event {
        Event::CanisterCreated(canister) => migration.canister_id = Some(canister),
        Event::ModuleInstalled(hash) => migration.module_hash = Some(ByteBuf::from(hash)),
        Event::CapsuleFrozen { generation } => {
            migration.generation = generation;
            migration.frozen_at = Some(at);
            migration.root = None;
        }
        Event::CapsuleThawed => {
            migration.frozen_at = None;
            migration.root = None;
        }
        Event::ManifestBuilt(root) => migration.root = Some(ByteBuf::from(root)),
        Event::CapsuleMoved => migration.cut_over_at = Some(at),
        Event::HandedOff => migration.handed_off_at = Some(at),
        Event::CyclesSpent { operation, amount, balance_after } => {
            let (amount, balance_after) = (Nat::from(amount), Nat::from(balance_after));
            let is_full = migration.ledger.len() >= MAX_LEDGER;
            match migration.ledger.last_mut().filter(|_| is_full) {
                Some(last) => {
                    last.amount += amount;
                    last.balance_after = balance_after;
                }
                None => migration.ledger.push(CycleEntry { at, operation, amount, balance_after }),
            }
        }
        Event::CyclesReturned(amount) => migration.returned += amount,
        Event::CanisterRequested | Event::CreationRefused | Event::Aborted => {}
    }
    Ok(())
}

/// What a record says besides its phase follows from the phase.
fn read_from_tables(migration: &mut Migration) {
    migration.is_active = phases::meaning_of(migration.phase).is_active;
    migration.can_abort = phases::can_abort(migration.phase);
}

/// Whether nothing has come of a reservation: no canister, and no step for a day.
pub fn is_expired(migration: &Migration, at: Time) -> bool {
    let last = migration.ledger.last().map_or(migration.reserved_at, |entry| entry.at);
    matches!(migration.phase, Reserved | Creating) && at.saturating_sub(last) > RESERVED_FOR
}

/// Cycles that are still set aside for a migration.
fn set_aside(migration: &Migration) -> u128 {
    if !phases::meaning_of(migration.phase).keeps_budget {
        return 0;
    }
    cycles(&migration.budget).saturating_sub(cycles(&spent(migration)))
}

/// All that the ledger of a migration says was spent.
pub fn spent(migration: &Migration) -> Nat {
    migration.ledger.iter().fold(Nat::from(0u8), |sum, entry| sum + entry.amount.clone())
}

/// An amount of cycles as a number.
pub fn cycles(amount: &Nat) -> u128 {
    u128::try_from(&amount.0).unwrap_or(u128::MAX)
}

/// The answer to a step that does not fit the phase.
pub fn wrong_phase(migration: &Migration) -> Error {
    Error::Conflict(match migration.phase {
        Creating => "the answer to the creation of the canister was lost: abort this migration".into(),
        phase => format!("migration {} is {phase:?}: this step does not fit", migration.id),
    })
}

pub struct Migrations<M: StableMemory> {
    map: StableBTreeMap<Vec<u8>, Vec<u8>, Vm<M>>,
}

impl<M: StableMemory> Migrations<M> {
    pub fn init(memories: &MemoryManager<M>) -> Self {
        Migrations { map: StableBTreeMap::init(memories.get(memory::MIGRATIONS)) }
    }

    /// Opens a migration; Conflict where one of that capsule is under way.
    pub fn reserve(
        &mut self,
        capsule: &str,
        operator: Principal,
        budget: Nat,
        endowment: Nat,
        at: Time,
    ) -> Answer<Migration> {
        if let Some(active) = self.active(capsule)? {
            return Err(wrong_phase(&active));
        }
        let last = self.map.range(..Key::tagged(1).end()).next_back();
        let id = last.map_or(1, |entry| number(&entry.key()[1..]) + 1);
        let migration = Migration {
            id,
            capsule_id: capsule.into(),
            phase: Reserved,
            is_active: true,
            can_abort: true,
            operator,
            canister_id: None,
            module_hash: None,
            budget,
            endowment,
            ledger: vec![],
            returned: Nat::from(0u8),
            generation: 0,
            root: None,
            reserved_at: at,
            frozen_at: None,
            cut_over_at: None,
            handed_off_at: None,
        };
        self.put(&migration);
        self.map.insert(Key::tagged(2).text(capsule).into_bytes(), id.to_be_bytes().to_vec());
        Ok(migration)
    }

    /// Applies an event to the newest migration of a capsule.
    pub fn apply(&mut self, capsule: &str, event: Event, at: Time) -> Answer<Migration> {
        let mut migration = self.current(capsule)?;
        apply(&mut migration, event, at)?;
        self.put(&migration);
        Ok(migration)
    }

    /// The newest migration of a capsule.
    pub fn newest(&self, capsule: &str) -> Answer<Option<Migration>> {
        let Some(id) = self.map.get(&Key::tagged(2).text(capsule).into_bytes()) else {
            return Ok(None);
        };
        self.get(number(&id))
    }

    /// The newest migration of a capsule, which there must be.
    pub fn current(&self, capsule: &str) -> Answer<Migration> {
        self.newest(capsule)?.ok_or_else(|| no_migration(capsule))
    }

    /// The migration that has taken a capsule.
    pub fn active(&self, capsule: &str) -> Answer<Option<Migration>> {
        Ok(self.newest(capsule)?.filter(|migration| migration.is_active))
    }

    fn get(&self, id: u64) -> Answer<Option<Migration>> {
        self.map.get(&by_id(1, id)).map(|bytes| decode(&bytes)).transpose()
    }

    /// Migrations in id order, from behind `after`.
    pub fn list(&self, after: Option<u64>, limit: usize) -> Answer<Page<Migration, u64>> {
        let Some(start) = after.map_or(Some(0), |after| after.checked_add(1)) else {
            return Ok(Page { items: vec![], next: None });
        };
        let mut items: Vec<Migration> = Vec::new();
        for entry in self.map.range(by_id(1, start)..Key::tagged(1).end()) {
            if items.len() == limit {
                return Ok(Page { next: items.last().map(|last| last.id), items });
            }
            items.push(decode(&entry.value())?);
        }
        Ok(Page { items, next: None })
    }

    /// The migrations for which cycles are set aside.
    fn with_budget(&self) -> impl Iterator<Item = Answer<Migration>> + '_ {
        let keys = self.map.keys_range(by_id(3, 0)..Key::tagged(3).end());
        keys.filter_map(|key| self.get(number(&key[1..])).transpose())
    }

    /// Cycles set aside for all migrations.
    pub fn reserved(&self, at: Time) -> Answer<u128> {
        let mut sum = 0u128;
        for migration in self.with_budget() {
            let migration = migration?;
            if !is_expired(&migration, at) {
                sum = sum.saturating_add(set_aside(&migration));
            }
        }
        Ok(sum)
    }

    /// How many migrations have cycles set aside.
    pub fn under_way(&self, at: Time) -> Answer<u64> {
        let mut count = 0;
        for migration in self.with_budget() {
            count += u64::from(!is_expired(&migration?, at));
        }
        Ok(count)
    }

    /// Aborts migrations that have expired, but for those of capsules that are busy.
    pub fn expire(&mut self, at: Time, is_busy: impl Fn(&str) -> bool) -> Answer<()> {
        let looked_at: Vec<Migration> = self.with_budget().take(EXPIRED_AT_ONCE).collect::<Answer<_>>()?;
        for migration in looked_at {
            if is_expired(&migration, at) && !is_busy(&migration.capsule_id) {
                self.apply(&migration.capsule_id, Event::Aborted, at)?;
            }
        }
        Ok(())
    }

    fn put(&mut self, migration: &Migration) {
        self.map.insert(by_id(1, migration.id), canonical::encode(migration));
        if phases::meaning_of(migration.phase).keeps_budget {
            self.map.insert(by_id(3, migration.id), vec![]);
        } else {
            self.map.remove(&by_id(3, migration.id));
        }
    }
}

fn decode(bytes: &[u8]) -> Answer<Migration> {
    let mut migration = canonical::decode(bytes)?;
    read_from_tables(&mut migration);
    Ok(migration)
}

fn by_id(tag: u8, id: u64) -> Vec<u8> {
    Key::tagged(tag).bytes(&id.to_be_bytes()).into_bytes()
}

fn number(bytes: &[u8]) -> u64 {
    bytes.try_into().map_or(0, u64::from_be_bytes)
}

fn no_migration(capsule: &str) -> Error {
    Error::NotFound(format!("a migration of capsule {capsule}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use ic_stable_structures::VectorMemory;

    fn migrations() -> Migrations<VectorMemory> {
        Migrations::init(&storage::memory::manager(VectorMemory::default(), 1))
    }

    fn reserve(migrations: &mut Migrations<VectorMemory>, capsule: &str, budget: u8) -> Answer<Migration> {
        let operator = Principal::management_canister();
        migrations.reserve(capsule, operator, Nat::from(budget), Nat::from(60u8), 1)
    }

    fn calls(amount: u128) -> Event {
        Event::CyclesSpent { operation: Expense::Calls(MigrationStep::Create), amount, balance_after: 9 }
    }

    #[test]
    fn every_event_moves_a_record_as_the_table_says_and_a_refused_one_changes_nothing() {
        let begun = reserve(&mut migrations(), "c", 100).unwrap();
        let events = [
            Event::CanisterRequested,
            Event::CreationRefused,
            Event::CanisterCreated(Principal::from_slice(&[1])),
            Event::ModuleInstalled([1; 32]),
            Event::CapsuleFrozen { generation: 1 },
            Event::CapsuleThawed,
            Event::ManifestBuilt([2; 32]),
            Event::CapsuleMoved,
            Event::HandedOff,
            calls(1),
            Event::CyclesReturned(5),
            Event::Aborted,
        ];
        for (event, (kind, _, cells)) in events.into_iter().zip(phases::EVENTS) {
            assert_eq!(event.kind(), kind);
            for ((phase, _), next) in phases::PHASES.into_iter().zip(cells) {
                let mut migration = Migration { phase, ..begun.clone() };
                let before = migration.clone();
                let applied = apply(&mut migration, event.clone(), 2);
                assert_eq!(applied.is_ok(), next.is_some(), "{event:?} in {phase:?}");
                match next {
                    Some(next) => {
                        assert_eq!(migration.phase, next, "{event:?} in {phase:?}");
                        assert_eq!(migration.is_active, phases::meaning_of(next).is_active);
                        assert_eq!(migration.can_abort, phases::can_abort(next));
                    }
                    None => assert_eq!(migration, before),
                }
            }
        }
    }

    #[test]
    fn a_capsule_has_one_active_migration() {
        let mut migrations = migrations();
        let first = reserve(&mut migrations, "c", 100).unwrap();
        assert!(matches!(reserve(&mut migrations, "c", 100), Err(Error::Conflict(_))));
        migrations.apply("c", Event::Aborted, 2).unwrap();
        let second = reserve(&mut migrations, "c", 100).unwrap();
        assert_eq!(second.id, first.id + 1);
        assert_eq!(migrations.current("c").unwrap().id, second.id);
        let page = migrations.list(None, 1).unwrap();
        assert_eq!((page.items[0].id, page.next), (first.id, Some(first.id)));
        assert_eq!(migrations.list(page.next, 1).unwrap().items[0].id, second.id);
        assert_eq!(migrations.list(Some(u64::MAX), 1).unwrap().items, vec![]);
    }

    #[test]
    fn what_is_set_aside_is_what_was_not_spent_yet() {
        let mut migrations = migrations();
        reserve(&mut migrations, "a", 100).unwrap();
        reserve(&mut migrations, "b", 50).unwrap();
        assert_eq!(migrations.reserved(3).unwrap(), 150);
        migrations.apply("a", calls(70), 2).unwrap();
        assert_eq!(migrations.reserved(3).unwrap(), 80);
        migrations.apply("a", calls(70), 2).unwrap();
        assert_eq!(migrations.reserved(3).unwrap(), 50);
        migrations.apply("b", Event::Aborted, 3).unwrap();
        assert_eq!(migrations.reserved(3).unwrap(), 0);
    }

    #[test]
    fn a_reservation_that_nothing_comes_of_is_free_again_after_a_day_and_then_aborted() {
        let mut migrations = migrations();
        for capsule in ["reserved", "creating", "tried again", "busy", "created"] {
            reserve(&mut migrations, capsule, 100).unwrap();
        }
        migrations.apply("creating", Event::CanisterRequested, 2).unwrap();
        migrations.apply("tried again", calls(1), 10).unwrap();
        migrations.apply("created", Event::CanisterRequested, 2).unwrap();
        migrations.apply("created", Event::CanisterCreated(Principal::from_slice(&[1])), 3).unwrap();
        let at = RESERVED_FOR + 2;
        assert_eq!((migrations.under_way(at - 1).unwrap(), migrations.reserved(at - 1).unwrap()), (5, 499));
        assert_eq!((migrations.under_way(at).unwrap(), migrations.reserved(at).unwrap()), (2, 199));
        migrations.expire(at, |capsule| capsule == "busy").unwrap();
        let phase = |capsule| migrations.current(capsule).unwrap().phase;
        assert_eq!([phase("reserved"), phase("creating")], [MigrationPhase::Aborted; 2]);
        assert_eq!([phase("tried again"), phase("busy")], [Reserved; 2]);
        assert_eq!(phase("created"), MigrationPhase::Created);
        migrations.expire(at, |_| false).unwrap();
        assert_eq!(migrations.current("busy").unwrap().phase, MigrationPhase::Aborted);
    }

    #[test]
    fn a_ledger_stays_bounded_and_loses_nothing() {
        let mut migration = reserve(&mut migrations(), "c", 100).unwrap();
        for _ in 0..2 * MAX_LEDGER {
            apply(&mut migration, calls(3), 2).unwrap();
        }
        assert_eq!(migration.ledger.len(), MAX_LEDGER);
        assert_eq!(spent(&migration), Nat::from(6 * MAX_LEDGER));
    }
}
