//! The factory's steps: they create, install, delete and hand off personal canisters.
//!
//! Each step first looks at what is already done, so that it may be repeated; one step at a time
//! runs for a capsule. What fits which phase, and what is written down before and what after its
//! effect, is in [`crate::phases`].

use crate::migrations::{cycles, wrong_phase, Event};
use crate::phases::{cell, Cell as PhaseCell};
use crate::quote::{CALL_RESERVE, HUB_FLOOR};
use crate::runtime::{Creation, InstallMode, RunState, Runtime, Status};
use crate::Hub;
use access::{unauthorized, Call};
use candid::Principal;
use ic_stable_structures::Memory as StableMemory;
use serde_bytes::ByteBuf;
use std::cell::Cell;
use std::future::Future;
use types::fees::FEES;
use types::*;

/// With less than this a canister cannot pay for the call that sends its cycles back.
const CYCLES_OF_A_CALL: u128 = 50_000_000_000;

/// A step that runs for a capsule, alone: its lease is given back when it ends, however it ends.
struct Step<'a, R: Runtime> {
    runtime: &'a R,
    capsule: &'a str,
    step: MigrationStep,
    /// Calls made by this step, and the bytes sent with them.
    calls: Cell<u64>,
    bytes: Cell<usize>,
}

/// What the table says of a step that was asked for.
enum Asked<'a, R: Runtime> {
    Do(Step<'a, R>, Migration),
    Done(Migration),
}

impl<'a, R: Runtime> Step<'a, R> {
    /// The lease of a capsule, for a caller who may ask for the step.
    fn lease(runtime: &'a R, call: &Call, capsule: &'a str, step: MigrationStep) -> Answer<Self> {
        runtime.with(|hub| hub.may_ask(call, capsule, step))?;
        Step::lease_for_proven(runtime, capsule, step)
    }

    /// The same for a caller of whom it is known already.
    fn lease_for_proven(runtime: &'a R, capsule: &'a str, step: MigrationStep) -> Answer<Self> {
        runtime.with(|hub| {
            if !hub.leases.insert(capsule.into()) {
                return Err(Error::Conflict(format!(
                    "another step of this migration is running for {capsule}"
                )));
            }
            Ok(())
        })?;
        Ok(Step { runtime, capsule, step, calls: Cell::new(0), bytes: Cell::new(0) })
    }

    /// The lease, and what the table says about the step in the phase of the newest migration.
    fn ask(runtime: &'a R, call: &Call, capsule: &'a str, step: MigrationStep) -> Answer<Asked<'a, R>> {
        let leased = Step::lease(runtime, call, capsule, step)?;
        runtime.with(|hub| hub.expire(capsule, call.at))?;
        leased.look_up()
    }

    fn ask_for_proven(runtime: &'a R, capsule: &'a str, step: MigrationStep) -> Answer<Asked<'a, R>> {
        Step::lease_for_proven(runtime, capsule, step)?.look_up()
    }

    fn look_up(self) -> Answer<Asked<'a, R>> {
        let migration = self.current()?;
        match cell(self.step, migration.phase) {
            PhaseCell::Do => Ok(Asked::Do(self, migration)),
            PhaseCell::Done => Ok(Asked::Done(migration)),
            PhaseCell::No => Err(wrong_phase(&migration)),
        }
    }

    fn current(&self) -> Answer<Migration> {
        self.runtime.with(|hub| hub.migrations.current(self.capsule))
    }

    fn apply(&self, event: Event) -> Answer<Migration> {
        let now = self.runtime.now();
        self.runtime.with(|hub| hub.migrations.apply(self.capsule, event, now))
    }

    /// Waits for a call, which is then paid for when the step is settled.
    async fn calling<T>(&self, bytes: usize, call: impl Future<Output = T>) -> T {
        self.calls.set(self.calls.get() + 1);
        self.bytes.set(self.bytes.get() + bytes);
        call.await
    }

    /// Books what the step has cost the hub, by the fee schedule, and answers what it came to.
    fn settle<T>(&self, result: Answer<T>) -> Answer<Migration> {
        let instructions = self.runtime.instructions();
        let cost = FEES.calls(self.calls.get().into(), self.bytes.get() as u128, instructions.into());
        self.spend(Expense::Calls(self.step), cost)?;
        result.and_then(|_| self.current())
    }

    fn spend(&self, operation: Expense, amount: u128) -> Answer<()> {
        let balance_after = self.runtime.balance();
        self.apply(Event::CyclesSpent { operation, amount, balance_after }).map(drop)
    }
}

impl<R: Runtime> Drop for Step<'_, R> {
    fn drop(&mut self) {
        self.runtime.with(|hub| hub.leases.remove(self.capsule));
    }
}

/// The step where the table says that it is to be done; else answers that it was done.
macro_rules! ask {
    ($runtime:ident, $call:ident, $capsule:ident, $step:ident) => {
        match Step::ask($runtime, $call, $capsule, MigrationStep::$step)? {
            Asked::Do(step, migration) => (step, migration),
            Asked::Done(migration) => return Ok(migration),
        }
    };
}

/// Phase 1: sets the cycles aside, for who may spend them. One migration of a capsule at a time.
pub fn reserve<R: Runtime>(runtime: &R, call: &Call, capsule: &str) -> Answer<Migration> {
    let _step = Step::lease(runtime, call, capsule, MigrationStep::Reserve)?;
    let (fee, liquid) = (runtime.creation_fee(), runtime.liquid_balance());
    runtime.with(|hub| {
        hub.expire(capsule, call.at)?;
        if let Some(newest) = hub.migrations.newest(capsule)? {
            match cell(MigrationStep::Reserve, newest.phase) {
                PhaseCell::Do => {}
                PhaseCell::Done => return Ok(newest),
                PhaseCell::No => return Err(wrong_phase(&newest)),
            }
        }
        hub.store.registry.get(capsule)?.writable(capsule)?;
        hub.may_start(call, capsule)?;
        let quote = hub.quote(call, capsule, 0, fee, liquid)?;
        if quote.available < quote.budget {
            return Err(Error::OutOfCycles { needed: quote.budget, available: quote.available });
        }
        if !quote.feasible {
            return Err(Error::Conflict(quote.problems.join("; ")));
        }
        let reserved =
            hub.migrations.reserve(capsule, call.caller, quote.budget, quote.endowment, call.at)?;
        hub.economy.count_start(call, capsule);
        Ok(reserved)
    })
}

/// Phase 2: creates the canister, once.
pub async fn create<R: Runtime>(runtime: &R, call: &Call, capsule: &str) -> Answer<Migration> {
    let (step, migration) = ask!(runtime, call, capsule, Create);
    let created = create_canister(&step, &migration).await;
    step.settle(created)
}

async fn create_canister<R: Runtime>(step: &Step<'_, R>, migration: &Migration) -> Answer<()> {
    let fee = step.runtime.creation_fee();
    let endowment = cycles(&migration.endowment);
    let needed = fee + endowment + CALL_RESERVE;
    let available = step.runtime.liquid_balance().saturating_sub(HUB_FLOOR);
    if available < needed {
        return Err(Error::OutOfCycles { needed: needed.into(), available: available.into() });
    }
    step.apply(Event::CanisterRequested)?;
    match step.calling(0, step.runtime.create_canister(endowment)).await {
        Creation::Created(canister) => {
            step.apply(Event::CanisterCreated(canister))?;
            step.spend(Expense::CreationFee, fee)?;
            step.spend(Expense::Endowment, endowment)
        }
        Creation::Refused(error) => {
            step.apply(Event::CreationRefused)?;
            Err(error)
        }
        Creation::Unknown(error) => {
            step.spend(Expense::LostCreation, fee + endowment)?;
            Err(error)
        }
    }
}

/// Phase 3: installs the hub's module; what is installed already is adopted if it is that module.
pub async fn install<R: Runtime>(runtime: &R, call: &Call, capsule: &str) -> Answer<Migration> {
    let (step, migration) = ask!(runtime, call, capsule, Install);
    let installed = install_module(&step, &migration).await;
    step.settle(installed)
}

async fn install_module<R: Runtime>(step: &Step<'_, R>, migration: &Migration) -> Answer<()> {
    let canister = canister_of(migration)?;
    let (info, module) = step
        .runtime
        .with(|hub| hub.modules.module())
        .ok_or_else(|| Error::Conflict("the hub has no personal module: upload it with wasm_begin".into()))?;
    let hash = check::digest(&info.sha256)?;
    let status = step.calling(0, step.runtime.status(canister)).await?;
    let mode = match &status.module_hash {
        Some(found) if *found == info.sha256 => return step.apply(Event::ModuleInstalled(hash)).map(drop),
        Some(_) => InstallMode::Reinstall,
        None => InstallMode::Install,
    };
    let arg = step.runtime.with(|hub| personal_init(hub, migration))?;
    let arg = candid::encode_one(&arg).map_err(|error| Error::Upstream(error.to_string()))?;
    let bytes = module.len() + arg.len();
    step.calling(bytes, step.runtime.install_code(canister, mode, module, arg)).await?;
    step.apply(Event::ModuleInstalled(hash)).map(drop)
}

fn personal_init<M: StableMemory>(hub: &Hub<M>, migration: &Migration) -> Answer<PersonalInit> {
    if hub.store.registry.get(&migration.capsule_id)?.token_secret.is_none() {
        return Err(Error::Conflict("this capsule was handed off".into()));
    }
    Ok(PersonalInit {
        capsule_id: migration.capsule_id.clone(),
        hub: hub.store.me,
        operators: vec![migration.operator],
    })
}

/// Phase 5: the capsule becomes read-only.
pub fn freeze<R: Runtime>(runtime: &R, call: &Call, capsule: &str) -> Answer<Migration> {
    let (step, _) = ask!(runtime, call, capsule, Freeze);
    let generation = runtime.with(|hub| hub.store.freeze(capsule))?;
    runtime.recertify(capsule);
    step.apply(Event::CapsuleFrozen { generation })
}

/// The end of a freeze without a cut-over.
pub fn thaw<R: Runtime>(runtime: &R, call: &Call, capsule: &str) -> Answer<Migration> {
    let (step, _) = ask!(runtime, call, capsule, Thaw);
    unfreeze(&step)
}

fn unfreeze<R: Runtime>(step: &Step<'_, R>) -> Answer<Migration> {
    step.runtime.with(|hub| hub.store.thaw(step.capsule))?;
    step.runtime.recertify(step.capsule);
    step.apply(Event::CapsuleThawed)
}

/// Part of phase 7: the manifest of the frozen capsule, in bounded steps.
pub fn build_manifest<R: Runtime>(runtime: &R, call: &Call, capsule: &str) -> Answer<ManifestSummary> {
    let (step, migration) = match Step::ask(runtime, call, capsule, MigrationStep::BuildManifest)? {
        Asked::Do(step, migration) => (step, migration),
        Asked::Done(_) => return runtime.with(|hub| hub.store.manifest_summary(capsule)),
    };
    let summary = runtime.with(|hub| hub.store.build_manifest(capsule))?;
    runtime.recertify(capsule);
    if summary.complete && migration.root.is_none() {
        step.apply(Event::ManifestBuilt(check::digest(&summary.root)?))?;
    }
    Ok(summary)
}

/// Phase 9: the personal canister is the capsule's home. The hub itself asks it for what it has.
pub async fn cut_over<R: Runtime>(
    runtime: &R,
    call: &Call,
    capsule: &str,
    root: &ByteBuf,
) -> Answer<Migration> {
    let (step, migration) = match Step::ask(runtime, call, capsule, MigrationStep::CutOver)? {
        Asked::Do(step, migration) => (step, migration),
        Asked::Done(migration) if migration.root.as_ref() == Some(root) => return Ok(migration),
        Asked::Done(migration) => return Err(wrong_phase(&migration)),
    };
    if migration.root.as_ref() != Some(root) {
        return Err(Error::DigestMismatch(
            "the hub's own manifest has another root, or is not complete".into(),
        ));
    }
    let moved = move_over(&step, &migration, root).await;
    step.settle(moved)
}

async fn move_over<R: Runtime>(step: &Step<'_, R>, migration: &Migration, root: &ByteBuf) -> Answer<()> {
    let canister = canister_of(migration)?;
    // each answer begins a message of its own, which takes back a bounded number of certified answers
    loop {
        check_sealed(step, migration, root, canister).await?;
        let withdrawn = step.runtime.with(|hub| hub.store.withdraw_some(step.capsule))?;
        step.runtime.recertify(step.capsule);
        if withdrawn {
            break;
        }
    }
    let tokens = step.runtime.with(|hub| hub.store.registry.tokens_to_go(step.capsule))?;
    let activated = step.calling(96, step.runtime.import_activate(canister, root, tokens)).await?;
    if activated.state != ImportState::Live {
        return Err(Error::Upstream("the personal canister did not go live".into()));
    }
    step.runtime.with(|hub| hub.store.move_to(step.capsule, canister))?;
    step.runtime.recertify(step.capsule);
    step.apply(Event::CapsuleMoved).map(drop)
}

async fn check_sealed<R: Runtime>(
    step: &Step<'_, R>,
    migration: &Migration,
    root: &ByteBuf,
    canister: Principal,
) -> Answer<()> {
    let status = step.calling(0, step.runtime.import_status(canister)).await?;
    if status.capsule_id != step.capsule || status.generation != migration.generation {
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
    Ok(())
}

/// Undoes everything before the cut-over: the capsule is writable again, the personal canister's
/// cycles come back, the canister is deleted.
pub async fn abort<R: Runtime>(runtime: &R, call: &Call, capsule: &str) -> Answer<Migration> {
    let (step, migration) = ask!(runtime, call, capsule, Abort);
    let aborted = undo(&step, migration).await;
    step.settle(aborted)
}

async fn undo<R: Runtime>(step: &Step<'_, R>, mut migration: Migration) -> Answer<()> {
    if let Some(canister) = migration.canister_id {
        if let Some(status) = status_if_there(step, canister).await? {
            if migration.phase == MigrationPhase::Frozen {
                not_live(step, canister, &status).await?;
                migration = unfreeze(step)?;
            }
            delete(step, &migration, canister, status).await?;
        }
    }
    if migration.phase == MigrationPhase::Frozen {
        unfreeze(step)?;
    }
    step.apply(Event::Aborted).map(drop)
}

async fn status_if_there<R: Runtime>(step: &Step<'_, R>, canister: Principal) -> Answer<Option<Status>> {
    match step.calling(0, step.runtime.controllers(canister)).await {
        Err(Error::NotFound(_)) => return Ok(None),
        other => other.map(drop)?,
    }
    step.calling(0, step.runtime.status(canister)).await.map(Some)
}

/// Ok where the personal canister is not the capsule's home. It may be, without the hub knowing,
/// when the answer to its activation was lost.
async fn not_live<R: Runtime>(step: &Step<'_, R>, canister: Principal, status: &Status) -> Answer<()> {
    if !can_answer(status) {
        return Ok(());
    }
    let import = step.calling(0, step.runtime.import_status(canister)).await?;
    if import.state == ImportState::Live {
        return Err(Error::Conflict("the personal canister is live: finish the cut-over".into()));
    }
    Ok(())
}

fn can_answer(status: &Status) -> bool {
    status.run_state == RunState::Running && status.cycles > CYCLES_OF_A_CALL
}

/// Deletes the personal canister after its cycles have come back.
async fn delete<R: Runtime>(
    step: &Step<'_, R>,
    migration: &Migration,
    canister: Principal,
    status: Status,
) -> Answer<()> {
    let runtime = step.runtime;
    if can_answer(&status) {
        step.calling(0, runtime.free_cycles(canister)).await?;
        if migration.phase == MigrationPhase::Created {
            // without a module nobody could send the cycles back
            install_module(step, migration).await?;
        }
        let returned = step.calling(0, runtime.import_return_cycles(canister)).await?;
        step.apply(Event::CyclesReturned(returned))?;
    }
    if status.run_state != RunState::Stopped {
        step.calling(0, runtime.stop(canister)).await?;
    }
    step.calling(0, runtime.delete(canister)).await
}

/// Phase 10: those whom an owner has consented to become the only controllers; the hub has no part in
/// the canister any more. Irreversible.
pub async fn handoff<R: Runtime>(runtime: &R, call: &Call, capsule: &str) -> Answer<Migration> {
    let asked = match proven(runtime, call, capsule).await? {
        true => Step::ask_for_proven(runtime, capsule, MigrationStep::Handoff)?,
        false => Step::ask(runtime, call, capsule, MigrationStep::Handoff)?,
    };
    let (step, migration) = match asked {
        Asked::Do(step, migration) => (step, migration),
        Asked::Done(migration) => return Ok(migration),
    };
    let handed_off = give_up(&step, &migration, call).await;
    step.settle(handed_off)
}

/// Deletes what the hub still has of a capsule that was handed off, for who controls its canister. Work
/// is bounded: where something is left the answer is a Conflict that says so, and the call is repeated.
pub async fn delete_copy<R: Runtime>(runtime: &R, call: &Call, capsule: &str) -> Answer<()> {
    // what operators may do elsewhere does not count: it is the owner's copy
    let call = Call { operator: false, ..*call };
    if !proven(runtime, &call, capsule).await? {
        runtime.with(|hub| hub.may_ask(&call, capsule, MigrationStep::Handoff))?;
    }
    runtime.with(|hub| hub.store.delete_copy(capsule))?;
    runtime.recertify(capsule);
    Ok(())
}

/// Whether a caller who is no operator is an owner of a capsule that lives elsewhere, as its home says:
/// by its records while the hub controls it, by its controllers after that. Who is refused is not
/// written down.
async fn proven<R: Runtime>(runtime: &R, call: &Call, capsule: &str) -> Answer<bool> {
    let home = runtime.with(|hub| hub.moved_to(capsule))?;
    let Some(canister) = home.filter(|_| !call.operator) else { return Ok(false) };
    let _question = Question::open(runtime, call)?;
    let controllers = runtime.controllers(canister).await?;
    let me = runtime.with(|hub| hub.store.me);
    Ok(match controllers.contains(&me) {
        true => runtime.handoff_terms(canister, call.caller).await?.is_owner,
        false => controllers.contains(&call.caller),
    })
}

/// A question to another canister about a caller who may be a stranger: one a caller, and few in all.
struct Question<'a, R: Runtime> {
    runtime: &'a R,
    caller: Principal,
}

impl<'a, R: Runtime> Question<'a, R> {
    fn open(runtime: &'a R, call: &Call) -> Answer<Self> {
        /// Each keeps cycles of the hub until it is answered.
        const MOST: usize = 20;
        if call.is_anonymous() {
            return Err(unauthorized(call));
        }
        let is_open = runtime.with(|hub| hub.asked_about.len() < MOST && hub.asked_about.insert(call.caller));
        if !is_open {
            return Err(Error::Conflict("the hub is asking others who may do this: try again".into()));
        }
        Ok(Question { runtime, caller: call.caller })
    }
}

impl<R: Runtime> Drop for Question<'_, R> {
    fn drop(&mut self) {
        self.runtime.with(|hub| hub.asked_about.remove(&self.caller));
    }
}

async fn give_up<R: Runtime>(step: &Step<'_, R>, migration: &Migration, call: &Call) -> Answer<()> {
    let (runtime, canister) = (step.runtime, canister_of(migration)?);
    let me = runtime.with(|hub| hub.store.me);
    // where the hub is no controller, its call that made others so went through, unheard
    if step.calling(0, runtime.controllers(canister)).await?.contains(&me) {
        let terms = step.calling(0, runtime.handoff_terms(canister, call.caller)).await?;
        let consent = terms.consent.ok_or_else(|| no_consent(canister))?;
        check::controllers(&consent.controllers, me)?;
        step.calling(0, runtime.import_close(canister)).await?;
        let controllers = consent.controllers.into_iter().collect();
        step.calling(0, runtime.set_controllers(canister, controllers)).await?;
    }
    // once more: the secret that it made while this canister could look into it is made anew
    step.calling(0, runtime.import_close(canister)).await?;
    runtime.with(|hub| hub.store.registry.change(step.capsule, |known| known.token_secret = None))?;
    step.apply(Event::HandedOff).map(drop)
}

fn no_consent(canister: Principal) -> Error {
    Error::Conflict(format!(
        "no owner's consent is valid: an owner names the controllers to be in a call of handoff_consent to \
         canister {canister}, within a day before this"
    ))
}

fn canister_of(migration: &Migration) -> Answer<Principal> {
    migration.canister_id.ok_or_else(|| wrong_phase(migration))
}
