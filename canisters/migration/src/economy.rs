//! Whose decision an expense of the hub is: its policy, invitations, what was started today, what stops first.
//!
//! ```text
//!  01              -> the policy
//!  02 capsule      -> until when its owners are invited to migrate it, u64 BE
//!  03 principal    -> a day u64 BE, and how many migrations this owner started on it u32 BE
//!  04 capsule      -> the same of the capsule's owners together
//! ```

use access::Call;
use ic_stable_structures::memory_manager::MemoryManager;
use ic_stable_structures::{Memory as StableMemory, StableBTreeMap};
use storage::canonical;
use storage::keys::{Fields, Key};
use storage::memory::{self, Vm};
use types::*;

const DAY: Time = 24 * 60 * 60 * 1_000_000_000;
/// How long an invitation is valid: 30 days.
const INVITED_FOR: Time = 30 * DAY;

/// What the hub stops doing when its cycles run low.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activity {
    NewCapsule,
    NewMigration,
    Upload,
}

/// What stops below how many cycles, liquid and not set aside, in the order in which it stops; for a
/// new migration they must be left once its own are set aside. Nothing else stops: reads, exports,
/// changes of records and migrations under way go on.
pub const FLOORS: [(Activity, u128); 3] = [
    (Activity::NewCapsule, 3_000_000_000_000),
    (Activity::NewMigration, 1_000_000_000_000),
    (Activity::Upload, 500_000_000_000),
];

pub const fn floor(activity: Activity) -> u128 {
    FLOORS[activity as usize].1
}

/// OutOfCycles where the activity has stopped.
pub fn affordable(activity: Activity, liquid: u128, reserved: u128) -> Answer<()> {
    let (needed, available) = (floor(activity), liquid.saturating_sub(reserved));
    if available < needed {
        return Err(Error::OutOfCycles { needed: needed.into(), available: available.into() });
    }
    Ok(())
}

pub struct Economy<M: StableMemory> {
    map: StableBTreeMap<Vec<u8>, Vec<u8>, Vm<M>>,
}

impl<M: StableMemory> Economy<M> {
    pub fn init(memories: &MemoryManager<M>) -> Self {
        Economy { map: StableBTreeMap::init(memories.get(memory::ECONOMY)) }
    }

    pub fn policy(&self) -> Policy {
        let stored = self.map.get(&policy_key());
        stored.and_then(|bytes| canonical::decode(&bytes).ok()).unwrap_or_default()
    }

    pub fn set_policy(&mut self, policy: &Policy) {
        self.map.insert(policy_key(), canonical::encode(policy));
    }

    /// Lets the owners of a capsule start its migration; answers until when.
    pub fn invite(&mut self, capsule: &str, at: Time) -> Time {
        let until = at + INVITED_FOR;
        self.map.insert(invitation(capsule), until.to_be_bytes().to_vec());
        until
    }

    /// Unauthorized for who may not make a capsule of their own.
    pub fn may_create(&self, call: &Call) -> Answer<()> {
        if call.operator || self.policy().create == MayCreate::Anybody {
            return Ok(());
        }
        Err(Error::Unauthorized(format!(
            "capsules are made by the operators of this hub: ask one of them to make one for {}",
            call.caller
        )))
    }

    /// Ok where the caller, an operator or an owner of the capsule, may start a migration of it now.
    pub fn may_start(&self, call: &Call, capsule: &str) -> Answer<()> {
        if call.operator {
            return Ok(());
        }
        let policy = self.policy();
        let until = self.map.get(&invitation(capsule)).and_then(|bytes| number(&bytes)).unwrap_or(0);
        if policy.migrate == MayMigrate::Operators && call.at >= until {
            return Err(Error::Unauthorized(format!(
                "migrations are started by the operators of this hub: ask one of them to invite capsule {capsule} \
                 with migration_invite"
            )));
        }
        let started = counters(call, capsule).into_iter().map(|key| self.started(&key, call.at)).max();
        if started.unwrap_or(0) >= policy.migrations_a_day {
            return Err(Error::Conflict(format!(
                "an owner starts {} migrations a day, aborted ones among them: try again tomorrow, or ask an \
                 operator of this hub",
                policy.migrations_a_day
            )));
        }
        Ok(())
    }

    /// Writes down that a migration was started; those of operators are not counted.
    pub fn count_start(&mut self, call: &Call, capsule: &str) {
        if call.operator {
            return;
        }
        for key in counters(call, capsule) {
            let count = self.started(&key, call.at) + 1;
            self.map.insert(key, [&(call.at / DAY).to_be_bytes()[..], &count.to_be_bytes()].concat());
        }
    }

    /// Forgets what belongs to a capsule that is deleted.
    pub fn forget(&mut self, capsule: &str) {
        self.map.remove(&invitation(capsule));
        self.map.remove(&Key::tagged(4).text(capsule).into_bytes());
    }

    fn started(&self, key: &Vec<u8>, at: Time) -> u32 {
        let Some(bytes) = self.map.get(key) else { return 0 };
        let mut fields = Fields(&bytes);
        let day = fields.bytes(8).and_then(number);
        let count = fields.bytes(4).and_then(|bytes| bytes.try_into().ok()).map_or(0, u32::from_be_bytes);
        if day == Some(at / DAY) {
            count
        } else {
            0
        }
    }
}

fn policy_key() -> Vec<u8> {
    Key::tagged(1).into_bytes()
}

fn invitation(capsule: &str) -> Vec<u8> {
    Key::tagged(2).text(capsule).into_bytes()
}

/// Where the starts of an owner are counted.
fn counters(call: &Call, capsule: &str) -> [Vec<u8>; 2] {
    [Key::tagged(3).bytes(call.caller.as_slice()).into_bytes(), Key::tagged(4).text(capsule).into_bytes()]
}

fn number(bytes: &[u8]) -> Option<u64> {
    bytes.try_into().ok().map(u64::from_be_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use candid::Principal;
    use ic_stable_structures::VectorMemory;

    const NOW: Time = 20_000 * DAY + 5;

    fn economy() -> Economy<VectorMemory> {
        Economy::init(&storage::memory::manager(VectorMemory::default(), 1))
    }

    fn by(name: u8, at: Time) -> Call {
        Call { caller: Principal::from_slice(&[name]), operator: false, at }
    }

    #[test]
    fn what_stops_first_comes_first_and_each_stops_at_its_floor() {
        assert!(FLOORS.windows(2).all(|pair| pair[0].1 > pair[1].1));
        for (position, (activity, needed)) in FLOORS.into_iter().enumerate() {
            assert_eq!(activity as usize, position);
            assert_eq!(affordable(activity, needed + 7, 7), Ok(()));
            assert!(matches!(affordable(activity, needed + 7, 8), Err(Error::OutOfCycles { .. })));
        }
    }

    #[test]
    fn an_owner_is_invited_for_thirty_days() {
        let mut economy = economy();
        let may = |economy: &Economy<_>, at| economy.may_start(&by(1, at), "c");
        assert!(matches!(may(&economy, NOW), Err(Error::Unauthorized(_))));
        assert_eq!(economy.invite("c", NOW), NOW + 30 * DAY);
        assert_eq!(may(&economy, NOW + 30 * DAY - 1), Ok(()));
        assert!(matches!(may(&economy, NOW + 30 * DAY), Err(Error::Unauthorized(_))));
        assert!(matches!(economy.may_start(&by(1, NOW), "d"), Err(Error::Unauthorized(_))));
        economy.forget("c");
        assert!(matches!(may(&economy, NOW), Err(Error::Unauthorized(_))));
    }

    #[test]
    fn starts_are_counted_by_owner_and_by_capsule_and_forgotten_the_next_day() {
        let mut economy = economy();
        economy.set_policy(&Policy { migrate: MayMigrate::Owners, migrations_a_day: 2, ..Policy::default() });
        for _ in 0..2 {
            assert_eq!(economy.may_start(&by(1, NOW), "c"), Ok(()));
            economy.count_start(&by(1, NOW), "c");
        }
        assert!(matches!(economy.may_start(&by(1, NOW), "another of the owner"), Err(Error::Conflict(_))));
        assert!(matches!(economy.may_start(&by(2, NOW), "c"), Err(Error::Conflict(_))));
        assert_eq!(economy.may_start(&by(2, NOW), "another"), Ok(()));
        assert_eq!(economy.may_start(&Call { operator: true, ..by(1, NOW) }, "c"), Ok(()));
        assert_eq!(economy.may_start(&by(1, NOW + DAY), "c"), Ok(()));
    }
}
