//! The hub's records of migrations: one each, changed by events only.
//!
//! ```text
//!  01 id u64 BE            -> the record
//!  02 capsule id           -> id u64 BE of the newest migration of the capsule
//!  03 id u64 BE            -> nothing: the migration is under way
//! ```

use candid::{Nat, Principal};
use ic_stable_structures::memory_manager::MemoryManager;
use ic_stable_structures::{Memory as StableMemory, StableBTreeMap};
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;
use storage::canonical;
use storage::keys::Key;
use storage::memory::{self, Vm};
use types::*;
use MigrationPhase::*;

/// Entries of a ledger; what comes behind is added to the last one.
const MAX_LEDGER: usize = 200;

/// What happens to a migration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Before create_canister is called.
    Creating,
    /// After create_canister was refused: nothing was created.
    CreationRefused,
    /// At once after create_canister.
    Created(Principal),
    /// After the module was found installed.
    Installed(Digest),
    /// Together with the freeze of the capsule.
    Frozen { generation: u64 },
    /// Together with the end of the freeze.
    Thawed,
    /// When the manifest of the frozen capsule is complete.
    ManifestBuilt(Digest),
    /// Together with the move, after the personal canister went live.
    CutOver,
    /// After the owners became the only controllers.
    HandedOff,
    /// After cycles left the hub for this migration.
    Spent { operation: &'static str, amount: u128, balance_after: u128 },
    /// After cycles came back.
    Returned(u128),
    /// After the canister, if there was one, was deleted.
    Aborted,
}

/// A migration as it is stored.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub migration: Migration,
    /// create_canister was called and has not been answered.
    pub is_creating: bool,
}

impl Entry {
    /// The one place where a migration changes. Conflict where the event does not fit the phase.
    pub fn apply(&mut self, event: Event, at: Time) -> Answer<()> {
        let phase = self.migration.phase;
        let fits = match event {
            Event::Creating => phase == Reserved && !self.is_creating,
            Event::CreationRefused | Event::Created(_) => phase == Reserved && self.is_creating,
            Event::Installed(_) => matches!(phase, Created | Installed),
            Event::Frozen { .. } => phase == Installed,
            Event::Thawed | Event::ManifestBuilt(_) | Event::CutOver => phase == Frozen,
            Event::HandedOff => phase == CutOver,
            Event::Aborted => matches!(phase, Reserved | Created | Installed),
            Event::Spent { .. } | Event::Returned(_) => true,
        };
        if !fits {
            return Err(wrong_phase(&self.migration));
        }
        let migration = &mut self.migration;
        match event {
            Event::Creating => self.is_creating = true,
            Event::CreationRefused => self.is_creating = false,
            Event::Created(canister) => {
                self.is_creating = false;
                migration.canister_id = Some(canister);
                migration.phase = Created;
            }
            Event::Installed(hash) => {
                migration.module_hash = Some(ByteBuf::from(hash.to_vec()));
                migration.phase = Installed;
            }
            Event::Frozen { generation } => {
                migration.generation = generation;
                migration.frozen_at = Some(at);
                migration.root = None;
                migration.phase = Frozen;
            }
            Event::Thawed => {
                migration.frozen_at = None;
                migration.root = None;
                migration.phase = Installed;
            }
            Event::ManifestBuilt(root) => migration.root = Some(ByteBuf::from(root.to_vec())),
            Event::CutOver => {
                migration.cut_over_at = Some(at);
                migration.phase = CutOver;
            }
            Event::HandedOff => {
                migration.handed_off_at = Some(at);
                migration.phase = HandedOff;
            }
            Event::Spent { operation, amount, balance_after } => {
                let (amount, balance_after) = (Nat::from(amount), Nat::from(balance_after));
                let is_full = migration.ledger.len() >= MAX_LEDGER;
                match migration.ledger.last_mut().filter(|_| is_full) {
                    Some(last) => {
                        last.amount += amount;
                        last.balance_after = balance_after;
                    }
                    None => {
                        let operation = operation.into();
                        migration.ledger.push(CycleEntry { at, operation, amount, balance_after });
                    }
                }
            }
            Event::Returned(amount) => migration.returned += amount,
            Event::Aborted => migration.phase = Aborted,
        }
        Ok(())
    }

    /// Cycles that are still set aside for it.
    pub fn outstanding(&self) -> Nat {
        if !matches!(self.migration.phase, Reserved | Created | Installed | Frozen) {
            return Nat::from(0u8);
        }
        let spent = spent(&self.migration);
        if spent >= self.migration.budget {
            Nat::from(0u8)
        } else {
            self.migration.budget.clone() - spent
        }
    }
}

/// All that the ledger of a migration says was spent.
pub fn spent(migration: &Migration) -> Nat {
    migration.ledger.iter().fold(Nat::from(0u8), |sum, entry| sum + entry.amount.clone())
}

/// The answer to a step that does not fit the phase.
pub fn wrong_phase(migration: &Migration) -> Error {
    Error::Conflict(format!("migration {} is {:?}: this step does not fit", migration.id, migration.phase))
}

/// Whether the cycles and the capsule are still taken by it.
fn is_under_way(phase: MigrationPhase) -> bool {
    matches!(phase, Reserved | Created | Installed | Frozen | CutOver)
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
        if let Some(newest) = self.newest(capsule)? {
            if is_under_way(newest.migration.phase) {
                return Err(wrong_phase(&newest.migration));
            }
        }
        let last = self.map.range(..Key::tagged(1).end()).next_back();
        let id = last.map_or(1, |entry| number(&entry.key()[1..]) + 1);
        let migration = Migration {
            id,
            capsule_id: capsule.into(),
            phase: Reserved,
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
        self.put(&Entry { migration: migration.clone(), is_creating: false });
        self.map.insert(Key::tagged(2).text(capsule).into_bytes(), id.to_be_bytes().to_vec());
        Ok(migration)
    }

    /// Applies an event to the newest migration of a capsule.
    pub fn apply(&mut self, capsule: &str, event: Event, at: Time) -> Answer<Migration> {
        let mut entry = self.newest(capsule)?.ok_or_else(|| no_migration(capsule))?;
        entry.apply(event, at)?;
        self.put(&entry);
        Ok(entry.migration)
    }

    /// The newest migration of a capsule.
    pub fn newest(&self, capsule: &str) -> Answer<Option<Entry>> {
        let Some(id) = self.map.get(&Key::tagged(2).text(capsule).into_bytes()) else {
            return Ok(None);
        };
        self.get(number(&id))
    }

    /// The newest migration of a capsule, which there must be.
    pub fn current(&self, capsule: &str) -> Answer<Entry> {
        self.newest(capsule)?.ok_or_else(|| no_migration(capsule))
    }

    fn get(&self, id: u64) -> Answer<Option<Entry>> {
        self.map.get(&by_id(1, id)).map(|bytes| canonical::decode(&bytes)).transpose()
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
            items.push(canonical::decode::<Entry>(&entry.value())?.migration);
        }
        Ok(Page { items, next: None })
    }

    /// Cycles set aside for all migrations under way.
    pub fn reserved(&self) -> Answer<u128> {
        let mut sum = Nat::from(0u8);
        for key in self.map.keys_range(by_id(3, 0)..Key::tagged(3).end()) {
            if let Some(entry) = self.get(number(&key[1..]))? {
                sum += entry.outstanding();
            }
        }
        Ok(u128::try_from(sum.0).unwrap_or(u128::MAX))
    }

    fn put(&mut self, entry: &Entry) {
        let id = entry.migration.id;
        self.map.insert(by_id(1, id), canonical::encode(entry));
        if is_under_way(entry.migration.phase) {
            self.map.insert(by_id(3, id), vec![]);
        } else {
            self.map.remove(&by_id(3, id));
        }
    }
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

    const PHASES: [MigrationPhase; 7] = [Reserved, Created, Installed, Frozen, CutOver, HandedOff, Aborted];

    fn entry(phase: MigrationPhase, is_creating: bool) -> Entry {
        let mut migrations = Migrations::init(&storage::memory::manager(VectorMemory::default(), 1));
        let budget = Nat::from(100u8);
        let migration =
            migrations.reserve("c", Principal::management_canister(), budget, Nat::from(60u8), 1).unwrap();
        Entry { migration: Migration { phase, ..migration }, is_creating }
    }

    #[test]
    fn every_event_fits_the_phases_of_the_table_and_no_other() {
        let place = Principal::from_slice(&[1]);
        #[rustfmt::skip]
        let table: [(Event, &[MigrationPhase], Option<MigrationPhase>); 9] = [
            (Event::Creating,                      &[Reserved],                     None),
            (Event::Installed([1; 32]),            &[Created, Installed],           Some(Installed)),
            (Event::Frozen { generation: 1 },      &[Installed],                    Some(Frozen)),
            (Event::Thawed,                        &[Frozen],                       Some(Installed)),
            (Event::ManifestBuilt([2; 32]),        &[Frozen],                       None),
            (Event::CutOver,                       &[Frozen],                       Some(CutOver)),
            (Event::HandedOff,                     &[CutOver],                      Some(HandedOff)),
            (Event::Returned(5),                   &PHASES,                         None),
            (Event::Aborted,                       &[Reserved, Created, Installed], Some(Aborted)),
        ];
        for (event, fitting, next) in table {
            for phase in PHASES {
                let mut entry = entry(phase, false);
                let before = entry.clone();
                let applied = entry.apply(event.clone(), 2);
                assert_eq!(applied.is_ok(), fitting.contains(&phase), "{event:?} in {phase:?}");
                if applied.is_ok() {
                    assert_eq!(entry.migration.phase, next.unwrap_or(phase), "{event:?} in {phase:?}");
                } else {
                    assert_eq!(entry, before, "a refused event changes nothing");
                }
            }
        }
        for phase in PHASES {
            assert_eq!(entry(phase, true).apply(Event::Created(place), 2).is_ok(), phase == Reserved);
            assert!(
                entry(phase, false).apply(Event::Created(place), 2).is_err(),
                "nobody asked for a canister"
            );
            assert!(
                entry(phase, true).apply(Event::Creating, 2).is_err(),
                "a second canister for one record"
            );
        }
    }

    #[test]
    fn a_capsule_has_one_migration_under_way() {
        let mut migrations = Migrations::init(&storage::memory::manager(VectorMemory::default(), 1));
        let operator = Principal::management_canister();
        let reserve = |migrations: &mut Migrations<_>| {
            migrations.reserve("c", operator, Nat::from(100u8), Nat::from(60u8), 1)
        };
        let first = reserve(&mut migrations).unwrap();
        assert!(matches!(reserve(&mut migrations), Err(Error::Conflict(_))));
        migrations.apply("c", Event::Aborted, 2).unwrap();
        let second = reserve(&mut migrations).unwrap();
        assert_eq!(second.id, first.id + 1);
        assert_eq!(migrations.current("c").unwrap().migration.id, second.id);
        let page = migrations.list(None, 1).unwrap();
        assert_eq!((page.items[0].id, page.next), (first.id, Some(first.id)));
        assert_eq!(migrations.list(page.next, 1).unwrap().items[0].id, second.id);
        assert_eq!(migrations.list(Some(u64::MAX), 1).unwrap().items, vec![]);
    }

    #[test]
    fn what_is_set_aside_is_what_was_not_spent_yet() {
        let mut migrations = Migrations::init(&storage::memory::manager(VectorMemory::default(), 1));
        let operator = Principal::management_canister();
        migrations.reserve("a", operator, Nat::from(100u8), Nat::from(60u8), 1).unwrap();
        migrations.reserve("b", operator, Nat::from(50u8), Nat::from(10u8), 1).unwrap();
        assert_eq!(migrations.reserved().unwrap(), 150);
        let spent = |amount| Event::Spent { operation: "creation", amount, balance_after: 0 };
        migrations.apply("a", spent(70), 2).unwrap();
        assert_eq!(migrations.reserved().unwrap(), 80);
        migrations.apply("a", spent(70), 2).unwrap();
        assert_eq!(migrations.reserved().unwrap(), 50);
        migrations.apply("b", Event::Aborted, 3).unwrap();
        assert_eq!(migrations.reserved().unwrap(), 0);
    }

    #[test]
    fn a_ledger_stays_bounded_and_loses_nothing() {
        let mut entry = entry(Reserved, false);
        for _ in 0..2 * MAX_LEDGER {
            entry.apply(Event::Spent { operation: "calls", amount: 3, balance_after: 9 }, 2).unwrap();
        }
        assert_eq!(entry.migration.ledger.len(), MAX_LEDGER);
        assert_eq!(spent(&entry.migration), Nat::from(6 * MAX_LEDGER));
    }
}
