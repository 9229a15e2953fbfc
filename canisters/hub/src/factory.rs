//! The factory: creates, installs, deletes and hands off personal canisters.
//!
//! Each step first looks at what is already done, so that it may be repeated; one step at a time
//! runs for a capsule. What cannot be undone is written into the migrations before it is asked for,
//! and what came of it at once after the answer.

use crate::management::{self, Creation, Status};
use crate::Hub;
use access::Call;
use candid::Principal;
use ic_cdk::api;
use ic_cdk_management_canister::{CanisterInstallMode, CanisterStatusType};
use migration::migrations::{wrong_phase, Event};
use migration::quote::{quote, HubFunds, CALL_RESERVE, HUB_FLOOR};
use serde_bytes::ByteBuf;
use shell::Canister;
use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::future::Future;
use types::fees::FEES;
use types::*;

thread_local! {
    /// The capsules that a step is running for.
    static BUSY: RefCell<BTreeSet<String>> = const { RefCell::new(BTreeSet::new()) };
}

/// With less than this a canister cannot pay for the call that sends its cycles back.
const CYCLES_OF_A_CALL: u128 = 50_000_000_000;

/// Held while a step runs for a capsule; freed when the step ends, however it ends.
struct Turn {
    capsule: String,
    /// Calls made by this step, and the bytes sent with them.
    calls: Cell<u64>,
    bytes: Cell<usize>,
}

impl Turn {
    /// A turn for a caller who may migrate the capsule.
    fn take(capsule: &str) -> Answer<Turn> {
        let call = Hub::call();
        Hub::with(|hub| hub.may_migrate(&call, capsule))?;
        if !BUSY.with_borrow_mut(|busy| busy.insert(capsule.into())) {
            return Err(Error::Conflict(format!("another step of this migration is running for {capsule}")));
        }
        Ok(Turn { capsule: capsule.into(), calls: Cell::new(0), bytes: Cell::new(0) })
    }

    fn current(&self) -> Answer<Migration> {
        Hub::with(|hub| Ok(hub.migrations.current(&self.capsule)?.migration))
    }

    fn apply(&self, event: Event) -> Answer<Migration> {
        Hub::with(|hub| hub.migrations.apply(&self.capsule, event, api::time()))
    }

    /// Waits for a call, which is then paid for when the step is settled.
    async fn calling<T>(&self, bytes: usize, call: impl Future<Output = T>) -> T {
        self.calls.set(self.calls.get() + 1);
        self.bytes.set(self.bytes.get() + bytes);
        call.await
    }

    /// Books what the step has cost the hub, by the fee schedule, and answers what it came to.
    fn settle<T>(&self, operation: &'static str, result: Answer<T>) -> Answer<Migration> {
        let instructions = api::call_context_instruction_counter();
        let cost = FEES.calls(self.calls.get().into(), self.bytes.get() as u128, instructions.into());
        self.spend(operation, cost)?;
        result.and_then(|_| self.current())
    }

    fn spend(&self, operation: &'static str, amount: u128) -> Answer<()> {
        let balance_after = api::canister_cycle_balance();
        self.apply(Event::Spent { operation, amount, balance_after }).map(drop)
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        BUSY.with_borrow_mut(|busy| busy.remove(&self.capsule));
    }
}

impl Hub {
    /// Ok for operators and for the owners of the capsule.
    pub fn may_migrate(&self, call: &Call, capsule: &str) -> Answer<()> {
        self.store.registry.get(capsule)?;
        if call.operator {
            return Ok(());
        }
        let head: Capsule = self.store.records.get(capsule, capsule)?;
        if call.is_anonymous() || !head.owners.iter().any(|owner| owner.person == call.person()) {
            return Err(access::unauthorized(call));
        }
        Ok(())
    }

    /// Whether a migration of the capsule is under way.
    pub fn is_migrating(&self, capsule: &str) -> Answer<bool> {
        Ok(self.active(capsule)?.is_some())
    }

    fn active(&self, capsule: &str) -> Answer<Option<Migration>> {
        let newest = self.migrations.newest(capsule)?.map(|entry| entry.migration);
        let is_over = |phase| matches!(phase, MigrationPhase::Aborted | MigrationPhase::HandedOff);
        Ok(newest.filter(|migration| !is_over(migration.phase)))
    }

    /// What a migration of the capsule would cost, and whether it can begin or go on.
    pub fn quote(&self, capsule: &str) -> Answer<MigrationQuote> {
        let head: Capsule = self.store.records.get(capsule, capsule)?;
        let summary = self.store.summary_of(&head)?;
        let active = self.active(capsule)?;
        let funds = HubFunds {
            creation_fee: api::cost_create_canister(),
            liquid: api::canister_liquid_cycle_balance(),
            reserved: self.migrations.reserved()?,
            wasm: self.wasm.info(),
        };
        Ok(quote(&summary, funds, active))
    }
}

/// Phase 1: sets the cycles aside. One migration of a capsule at a time.
pub fn reserve(capsule: &str) -> Answer<Migration> {
    let turn = Turn::take(capsule)?;
    let call = Hub::call();
    Hub::with(|hub| {
        let quote = hub.quote(capsule)?;
        if let Some(active) = quote.active {
            return if active.phase == MigrationPhase::CutOver {
                Err(wrong_phase(&active))
            } else {
                Ok(active)
            };
        }
        hub.store.registry.get(&turn.capsule)?.writable(capsule)?;
        if quote.available < quote.budget {
            return Err(Error::OutOfCycles { needed: quote.budget, available: quote.available });
        }
        if !quote.feasible {
            return Err(Error::Conflict(quote.problems.join("; ")));
        }
        hub.migrations.reserve(capsule, call.caller, quote.budget, quote.endowment, call.at)
    })
}

/// Phase 2: creates the canister, once.
pub async fn create(capsule: &str) -> Answer<Migration> {
    let turn = Turn::take(capsule)?;
    let entry = Hub::with(|hub| hub.migrations.current(capsule))?;
    match entry.migration.phase {
        MigrationPhase::Reserved => {}
        MigrationPhase::Aborted => return Err(wrong_phase(&entry.migration)),
        _ => return Ok(entry.migration),
    }
    if entry.is_creating {
        return Err(Error::Conflict(
            "the answer to the creation of the canister was lost: abort this migration".into(),
        ));
    }
    let created = create_canister(&turn, &entry.migration).await;
    turn.settle("create: call", created)
}

async fn create_canister(turn: &Turn, migration: &Migration) -> Answer<()> {
    let fee = api::cost_create_canister();
    let endowment = cycles(&migration.endowment);
    let needed = fee + endowment + CALL_RESERVE;
    let available = api::canister_liquid_cycle_balance().saturating_sub(HUB_FLOOR);
    if available < needed {
        return Err(Error::OutOfCycles { needed: needed.into(), available: available.into() });
    }
    turn.apply(Event::Creating)?;
    match turn.calling(0, management::create_canister(endowment)).await {
        Creation::Created(canister) => {
            turn.apply(Event::Created(canister))?;
            turn.spend("create: fee", fee)?;
            turn.spend("create: endowment", endowment)
        }
        Creation::Refused(error) => {
            turn.apply(Event::CreationRefused)?;
            Err(error)
        }
        Creation::Unknown(error) => {
            turn.spend("create: answer lost", fee + endowment)?;
            Err(error)
        }
    }
}

/// Phase 3: installs the hub's module; what is installed already is adopted if it is that module.
pub async fn install(capsule: &str) -> Answer<Migration> {
    let turn = Turn::take(capsule)?;
    let migration = turn.current()?;
    match migration.phase {
        MigrationPhase::Created | MigrationPhase::Installed => {}
        MigrationPhase::Frozen | MigrationPhase::CutOver | MigrationPhase::HandedOff => return Ok(migration),
        MigrationPhase::Reserved | MigrationPhase::Aborted => return Err(wrong_phase(&migration)),
    }
    let installed = install_module(&turn, &migration).await;
    turn.settle("install: calls", installed)
}

async fn install_module(turn: &Turn, migration: &Migration) -> Answer<()> {
    let canister = canister_of(migration)?;
    let (info, module) = Hub::with(|hub| hub.wasm.module())
        .ok_or_else(|| Error::Conflict("the hub has no personal module: upload it with wasm_begin".into()))?;
    let hash = types::check::digest(&info.sha256)?;
    let status = turn.calling(0, management::canister_status(canister)).await?;
    let mode = match &status.module_hash {
        Some(found) if *found == info.sha256 => return turn.apply(Event::Installed(hash)).map(drop),
        Some(_) => CanisterInstallMode::Reinstall,
        None => CanisterInstallMode::Install,
    };
    let arg = Hub::with(|hub| personal_init(hub, migration))?;
    let arg = candid::encode_one(&arg).map_err(|error| Error::Upstream(error.to_string()))?;
    turn.calling(module.len() + arg.len(), management::install_code(canister, mode, module, arg)).await?;
    turn.apply(Event::Installed(hash)).map(drop)
}

fn personal_init(hub: &Hub, migration: &Migration) -> Answer<PersonalInit> {
    let secret = hub.store.registry.get(&migration.capsule_id)?.token_secret;
    Ok(PersonalInit {
        capsule_id: migration.capsule_id.clone(),
        hub: hub.store.me,
        operators: vec![migration.operator],
        token_secret: secret.ok_or_else(|| Error::Conflict("this capsule was handed off".into()))?,
    })
}

/// Phase 5: the capsule becomes read-only.
pub fn freeze(capsule: &str) -> Answer<Migration> {
    let turn = Turn::take(capsule)?;
    let migration = turn.current()?;
    match migration.phase {
        MigrationPhase::Installed => {
            let generation = Hub::with(|hub| hub.store.freeze(capsule))?;
            turn.apply(Event::Frozen { generation })
        }
        MigrationPhase::Frozen => Ok(migration),
        _ => Err(wrong_phase(&migration)),
    }
}

/// The end of a freeze without a cut-over.
pub fn thaw(capsule: &str) -> Answer<Migration> {
    let turn = Turn::take(capsule)?;
    let migration = turn.current()?;
    match migration.phase {
        MigrationPhase::Frozen => unfreeze(&turn),
        MigrationPhase::Installed => Ok(migration),
        _ => Err(wrong_phase(&migration)),
    }
}

fn unfreeze(turn: &Turn) -> Answer<Migration> {
    Hub::with(|hub| hub.store.thaw(&turn.capsule))?;
    Hub::recertify(&turn.capsule);
    turn.apply(Event::Thawed)
}

/// Part of phase 7: the manifest of the frozen capsule, in bounded steps.
pub fn build_manifest(capsule: &str) -> Answer<ManifestSummary> {
    let turn = Turn::take(capsule)?;
    let migration = turn.current()?;
    match migration.phase {
        MigrationPhase::Frozen => {}
        MigrationPhase::CutOver | MigrationPhase::HandedOff => {
            return Hub::with(|hub| hub.store.manifest_summary(capsule))
        }
        _ => return Err(wrong_phase(&migration)),
    }
    let summary = Hub::with(|hub| hub.store.build_manifest(capsule))?;
    Hub::recertify(capsule);
    if summary.complete && migration.root.is_none() {
        turn.apply(Event::ManifestBuilt(types::check::digest(&summary.root)?))?;
    }
    Ok(summary)
}

/// Phase 9: the personal canister is the capsule's home. The hub itself asks it for what it has.
pub async fn cut_over(capsule: &str, root: &ByteBuf) -> Answer<Migration> {
    let turn = Turn::take(capsule)?;
    let migration = turn.current()?;
    match migration.phase {
        MigrationPhase::Frozen => {}
        MigrationPhase::CutOver | MigrationPhase::HandedOff if migration.root.as_ref() == Some(root) => {
            return Ok(migration)
        }
        _ => return Err(wrong_phase(&migration)),
    }
    if migration.root.as_ref() != Some(root) {
        return Err(Error::DigestMismatch(
            "the hub's own manifest has another root, or is not complete".into(),
        ));
    }
    let moved = move_over(&turn, &migration, root).await;
    turn.settle("cut over: calls", moved)
}

async fn move_over(turn: &Turn, migration: &Migration, root: &ByteBuf) -> Answer<()> {
    let canister = canister_of(migration)?;
    let status = turn.calling(0, management::import_status(canister)).await?;
    if status.capsule_id != turn.capsule || status.generation != migration.generation {
        return Err(Error::Conflict(format!(
            "the personal canister has generation {} of {}, not {}",
            status.generation, status.capsule_id, migration.generation
        )));
    }
    if status.state == ImportState::Importing {
        return Err(Error::Conflict("the personal canister is not sealed".into()));
    }
    if status.root.as_ref() != Some(root) {
        return Err(Error::DigestMismatch("the personal canister has another manifest root".into()));
    }
    let activated = turn.calling(32, management::import_activate(canister, root)).await?;
    if activated.state != ImportState::Live {
        return Err(Error::Upstream("the personal canister did not go live".into()));
    }
    Hub::with(|hub| hub.store.move_to(&turn.capsule, canister))?;
    Hub::recertify(&turn.capsule);
    turn.apply(Event::CutOver).map(drop)
}

/// Undoes everything before the cut-over: the capsule is writable again, the personal canister's
/// cycles come back, the canister is deleted.
pub async fn abort(capsule: &str) -> Answer<Migration> {
    let turn = Turn::take(capsule)?;
    let migration = turn.current()?;
    match migration.phase {
        MigrationPhase::CutOver | MigrationPhase::HandedOff => return Err(wrong_phase(&migration)),
        MigrationPhase::Aborted => return Ok(migration),
        _ => {}
    }
    let aborted = undo(&turn, migration).await;
    turn.settle("abort: calls", aborted)
}

async fn undo(turn: &Turn, mut migration: Migration) -> Answer<()> {
    if let Some(canister) = migration.canister_id {
        if let Some(status) = status_if_there(turn, canister).await? {
            if migration.phase == MigrationPhase::Frozen {
                not_live(turn, canister, &status).await?;
                migration = unfreeze(turn)?;
            }
            delete(turn, &migration, canister, status).await?;
        }
    }
    if migration.phase == MigrationPhase::Frozen {
        unfreeze(turn)?;
    }
    turn.apply(Event::Aborted).map(drop)
}

async fn status_if_there(turn: &Turn, canister: Principal) -> Answer<Option<Status>> {
    match turn.calling(0, management::canister_info(canister)).await {
        Err(Error::NotFound(_)) => return Ok(None),
        other => other.map(drop)?,
    }
    turn.calling(0, management::canister_status(canister)).await.map(Some)
}

/// Ok where the personal canister is not the capsule's home. It may be, without the hub knowing,
/// when the answer to its activation was lost.
async fn not_live(turn: &Turn, canister: Principal, status: &Status) -> Answer<()> {
    if !can_answer(status) {
        return Ok(());
    }
    let import = turn.calling(0, management::import_status(canister)).await?;
    if import.state == ImportState::Live {
        return Err(Error::Conflict("the personal canister is live: finish the cut-over".into()));
    }
    Ok(())
}

fn can_answer(status: &Status) -> bool {
    status.status == CanisterStatusType::Running && cycles(&status.cycles) > CYCLES_OF_A_CALL
}

/// Deletes the personal canister after its cycles have come back.
async fn delete(turn: &Turn, migration: &Migration, canister: Principal, status: Status) -> Answer<()> {
    if can_answer(&status) {
        turn.calling(0, management::unfreeze(canister)).await?;
        if migration.phase == MigrationPhase::Created {
            // without a module nobody could send the cycles back
            install_module(turn, migration).await?;
        }
        let returned = turn.calling(0, management::import_return_cycles(canister)).await?;
        turn.apply(Event::Returned(cycles(&returned)))?;
    }
    if status.status != CanisterStatusType::Stopped {
        turn.calling(0, management::stop_canister(canister)).await?;
    }
    turn.calling(0, management::delete_canister(canister)).await
}

/// Phase 10: the owners, and a recovery principal if given, become the only controllers; the hub has
/// no part in the canister any more. Irreversible.
pub async fn handoff(capsule: &str, recovery: Option<Principal>) -> Answer<Migration> {
    let turn = Turn::take(capsule)?;
    let migration = turn.current()?;
    match migration.phase {
        MigrationPhase::CutOver => {}
        MigrationPhase::HandedOff => return Ok(migration),
        _ => return Err(wrong_phase(&migration)),
    }
    let handed_off = give_up(&turn, &migration, recovery).await;
    turn.settle("hand-off: calls", handed_off)
}

async fn give_up(turn: &Turn, migration: &Migration, recovery: Option<Principal>) -> Answer<()> {
    let canister = canister_of(migration)?;
    let controllers = Hub::with(|hub| controllers_after(hub, &turn.capsule, recovery))?;
    let info = turn.calling(0, management::canister_info(canister)).await?;
    let found: BTreeSet<Principal> = info.controllers.into_iter().collect();
    if found.contains(&api::canister_self()) {
        turn.calling(0, management::import_close(canister)).await?;
        turn.calling(0, management::set_controllers(canister, controllers.into_iter().collect())).await?;
    } else if found != controllers {
        return Err(Error::Conflict("the personal canister has other controllers than its owners".into()));
    }
    Hub::with(|hub| hub.store.registry.change(&turn.capsule, |known| known.token_secret = None))?;
    turn.apply(Event::HandedOff).map(drop)
}

/// The owners that can control a canister, and the recovery principal.
fn controllers_after(hub: &Hub, capsule: &str, recovery: Option<Principal>) -> Answer<BTreeSet<Principal>> {
    /// Most controllers of a canister.
    const MOST: usize = 10;
    let head: Capsule = hub.store.records.get(capsule, capsule)?;
    let owners = head.owners.into_iter().filter_map(|owner| match owner.person {
        PersonRef::Principal(principal) => Some(principal),
        PersonRef::Opaque(_) => None,
    });
    let controllers: BTreeSet<Principal> = owners.chain(recovery).collect();
    if controllers.is_empty() {
        return Err(Error::Conflict("no owner has a principal: name a recovery principal".into()));
    }
    let is_nobody = |principal: &Principal| {
        *principal == Principal::anonymous() || *principal == Principal::management_canister()
    };
    if controllers.len() > MOST || controllers.iter().any(is_nobody) || controllers.contains(&hub.store.me) {
        return Err(Error::Invalid(format!("a canister has at most {MOST} controllers, each somebody else")));
    }
    Ok(controllers)
}

fn canister_of(migration: &Migration) -> Answer<Principal> {
    migration.canister_id.ok_or_else(|| wrong_phase(migration))
}

fn cycles(amount: &candid::Nat) -> u128 {
    u128::try_from(&amount.0).unwrap_or(u128::MAX)
}
