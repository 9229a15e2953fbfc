//! What the hub keeps: its capsules, the migrations of them, the module for personal canisters.

use crate::economy::Economy;
use crate::migrations::{is_expired, Migrations};
use crate::module_store::ModuleStore;
use crate::phases::{parties, Party};
use crate::quote::{quote, HubFunds};
use access::{unauthorized, Call};
use candid::Principal;
use capsule::registry::Residence;
use capsule::store::Store;
use ic_stable_structures::memory_manager::MemoryManager;
use ic_stable_structures::Memory as StableMemory;
use std::collections::BTreeSet;
use types::*;

pub struct Hub<M: StableMemory> {
    pub store: Store<M>,
    pub migrations: Migrations<M>,
    pub modules: ModuleStore<M>,
    pub economy: Economy<M>,
    /// The capsules that a step is running for; in the heap, as steps do not outlive an upgrade.
    pub(crate) leases: BTreeSet<String>,
    /// The callers whom another canister is being asked about.
    pub(crate) asked_about: BTreeSet<Principal>,
}

impl<M: StableMemory> Hub<M> {
    pub fn init(memories: &MemoryManager<M>, store: Store<M>) -> Self {
        let economy = Economy::init(memories);
        Hub {
            store: Store { quotas: economy.policy().quotas, ..store },
            migrations: Migrations::init(memories),
            modules: ModuleStore::init(memories),
            economy,
            leases: BTreeSet::new(),
            asked_about: BTreeSet::new(),
        }
    }

    /// Ok for who may ask for a step of the capsule's migration.
    pub fn may_ask(&self, call: &Call, capsule: &str, step: MigrationStep) -> Answer<()> {
        self.store.registry.get(capsule)?;
        for party in parties(step) {
            let belongs = match party {
                Party::Operator => call.operator,
                Party::Owner => self.is_owner(call, capsule)?,
                // where the hub is the home; of another home see `factory::proven`
                Party::OwnerAtHome => self.moved_to(capsule)?.is_none() && self.is_owner(call, capsule)?,
            };
            if belongs {
                return Ok(());
            }
        }
        Err(unauthorized(call))
    }

    /// The personal canister that is the capsule's home.
    pub(crate) fn moved_to(&self, capsule: &str) -> Answer<Option<Principal>> {
        Ok(match self.store.registry.get(capsule)?.residence {
            Residence::MovedTo(canister) => Some(canister),
            _ => None,
        })
    }

    /// Whether the capsule has moved, and is not handed off.
    pub fn awaits_handoff(&self, capsule: &str) -> bool {
        let newest = self.migrations.newest(capsule).ok().flatten();
        newest.is_some_and(|migration| migration.phase == MigrationPhase::CutOver)
    }

    /// Whether the capsule is handed off, and something of it is left here.
    pub fn keeps_copy(&self, capsule: &str) -> bool {
        let handed_off = self.store.registry.find(capsule).and_then(|known| known.handed_off_to());
        handed_off.is_some() && self.store.records.contains(capsule, RecordKind::Capsule, capsule)
    }

    fn is_owner(&self, call: &Call, capsule: &str) -> Answer<bool> {
        let Some(head) = self.store.records.find::<Capsule>(capsule, capsule)? else { return Ok(false) };
        Ok(!call.is_anonymous() && head.owners.iter().any(|owner| owner.person == call.person()))
    }

    /// Deletes a capsule that no migration has taken.
    pub fn delete_capsule(&mut self, call: &Call, capsule: &str) -> Answer<()> {
        if self.migrations.active(capsule)?.is_some() {
            self.may_ask(call, capsule, MigrationStep::Abort)?;
            return Err(Error::Conflict(format!("capsule {capsule} has a migration: abort it first")));
        }
        self.store.capsules_delete(call, capsule)?;
        self.economy.forget(capsule);
        Ok(())
    }

    pub fn set_policy(&mut self, policy: &Policy) {
        self.economy.set_policy(policy);
        self.store.quotas = policy.quotas;
    }

    /// Lets the owners of a capsule start its migration; answers until when.
    pub fn invite(&mut self, call: &Call, capsule: &str) -> Answer<Time> {
        self.store.registry.get(capsule)?;
        Ok(self.economy.invite(capsule, call.at))
    }

    /// Ok where the caller may start a migration of the capsule now.
    pub fn may_start(&self, call: &Call, capsule: &str) -> Answer<()> {
        self.economy.may_start(call, capsule)?;
        let (under_way, most) =
            (self.migrations.under_way(call.at)?, self.economy.policy().migrations_at_once);
        if under_way >= u64::from(most) {
            return Err(Error::Conflict(format!(
                "{under_way} migrations are under way in this hub, and {most} may be: try again later"
            )));
        }
        Ok(())
    }

    /// Aborts reservations that nothing has come of, `capsule` being the one that a step holds; bounded.
    pub(crate) fn expire(&mut self, capsule: &str, at: Time) -> Answer<()> {
        let leases = &self.leases;
        self.migrations.expire(at, |other| other != capsule && leases.contains(other))
    }

    /// What a migration of the capsule would cost, and whether it can begin or go on.
    pub fn quote(
        &self,
        call: &Call,
        capsule: &str,
        chunks_present: u64,
        creation_fee: u128,
        liquid: u128,
    ) -> Answer<MigrationQuote> {
        let handed_off = self.store.registry.get(capsule)?.handed_off_to();
        handed_off.map_or(Ok(()), |home| Err(Error::Moved(home)))?;
        let head: Capsule = self.store.records.get(capsule, capsule)?;
        let summary = self.store.summary_of(&head)?;
        let reserved = self.migrations.reserved(call.at)?;
        let funds = HubFunds { creation_fee, liquid, reserved, wasm: self.modules.info() };
        let owners: Vec<PersonRef> = head.owners.into_iter().map(|owner| owner.person).collect();
        let owners = check::owners(&owners, self.store.me);
        let newest = self.migrations.newest(capsule)?.filter(|newest| !is_expired(newest, call.at));
        let mut quote = quote(&summary, owners, newest, chunks_present, funds);
        if quote.active.is_none() {
            if let Err(Error::Unauthorized(problem) | Error::Conflict(problem)) =
                self.may_start(call, capsule)
            {
                quote.feasible = false;
                quote.problems.push(problem);
            }
        }
        Ok(quote)
    }
}
