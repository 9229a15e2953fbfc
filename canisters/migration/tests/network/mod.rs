//! A small Internet Computer in memory: a hub, canisters that really import, calls that may go wrong.

use access::Call;
use candid::Principal;
use capsule::import::Import;
use capsule::store::Store;
use ic_stable_structures::VectorMemory;
use migration::runtime::{Creation, InstallMode, RunState, Runtime, Status};
use migration::{factory, Hub};
use serde_bytes::ByteBuf;
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::future::{pending, Future};
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use storage::digest::sha256;
use storage::header::CanisterKind;
use types::*;

pub const HUB: Principal = Principal::from_slice(&[0, 0, 0, 0, 0, 0, 0, 1, 1, 1]);
pub const NOW: Time = 1_700_000_000_000_000_000;
pub const FEE: u128 = 500_000_000_000;
pub const MODULE: &[u8] = b"the personal module";
/// What a personal canister keeps for the call that sends its cycles back.
const CYCLES_KEPT: u128 = 5_000_000_000;

/// What goes wrong with a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It is refused, and nothing happens.
    Refused,
    /// Nothing happens, and whoever waits for the answer is gone.
    LostBefore,
    /// It happens, and whoever waits for the answer is gone.
    LostAfter,
    /// It happens, and the answer cannot be read.
    Unreadable,
}

pub const FAULTS: [Fault; 4] = [Fault::Refused, Fault::LostBefore, Fault::LostAfter, Fault::Unreadable];

pub struct Canister {
    pub controllers: BTreeSet<Principal>,
    pub run_state: RunState,
    pub cycles: u128,
    pub module_hash: Option<ByteBuf>,
    pub personal: Option<(Store<VectorMemory>, Import<VectorMemory>)>,
}

pub struct Network {
    hub: RefCell<Hub<VectorMemory>>,
    pub canisters: RefCell<BTreeMap<Principal, Canister>>,
    pub balance: Cell<u128>,
    pub capsule: String,
    calls: Cell<usize>,
    fault: Cell<Option<(usize, Fault)>>,
}

pub fn principal(name: &str) -> Principal {
    Principal::from_slice(name.as_bytes())
}

pub fn operator() -> Call {
    Call { caller: principal("operator"), operator: true, at: NOW }
}

pub fn by(name: &str) -> Call {
    Call { caller: principal(name), operator: false, at: NOW }
}

/// Runs a step. None where it waits for an answer that never comes: it is gone, as after an upgrade.
pub fn run<T>(step: impl Future<Output = T>) -> Option<T> {
    match pin!(step).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(answer) => Some(answer),
        Poll::Pending => None,
    }
}

impl Network {
    /// A hub with the personal module, cycles, and a capsule of alice with a blob of two chunks.
    pub fn new() -> Self {
        let memories = storage::memory::manager(VectorMemory::default(), 1);
        let mut hub = Hub::init(&memories, Store::open(&memories, CanisterKind::Hub, HUB));
        hub.modules.begin(&sha256(MODULE), MODULE.len() as u64).unwrap();
        hub.modules.put_chunk(0, MODULE.to_vec()).unwrap();
        hub.modules.finish(NOW).unwrap();
        let alice = by("alice");
        let capsule = hub.store.capsules_create(&alice, alice.person(), [7; 32]).unwrap().id;
        let bytes = vec![1; 2_000_000];
        let blob = sha256(&bytes);
        hub.store.uploads_begin(&alice, &capsule, &blob, bytes.len() as u64).unwrap();
        for (index, chunk) in bytes.chunks(1_900_000).enumerate() {
            hub.store.uploads_put_chunk(&alice, &capsule, &blob, index as u32, chunk).unwrap();
        }
        hub.store.uploads_finish(&alice, &capsule, &blob).unwrap();
        hub.store.create::<Memory>(&alice, &capsule, photo(&blob, bytes.len() as u64)).unwrap();
        Network {
            hub: RefCell::new(hub),
            canisters: RefCell::default(),
            balance: Cell::new(10_000_000_000_000),
            capsule,
            calls: Cell::new(0),
            fault: Cell::new(None),
        }
    }

    /// Public memories in alice's capsule.
    pub fn publish(&self, count: usize) {
        let alice = by("alice");
        for number in 0..count {
            let mut memory = photo(&[0; 32], 0);
            memory.id = Some(format!("public-{number}"));
            memory.assets[0].location = AssetLocation::Inline(ByteBuf::from(b"small".to_vec()));
            let entry = AccessInput {
                id: None,
                resource: Resource::Memory(format!("public-{number}")),
                person: None,
                role: types::Role::Guest,
                permissions: 1,
                source: GrantSource::User,
                source_id: None,
                condition: AccessCondition::Immediate,
                is_public: true,
            };
            self.with(|hub| {
                hub.store.create::<Memory>(&alice, &self.capsule, memory).unwrap();
                hub.store.create::<AccessEntry>(&alice, &self.capsule, entry).unwrap();
            });
        }
    }

    /// The call behind the next `after` ones goes wrong.
    pub fn strike(&self, after: usize, fault: Fault) {
        self.fault.set(Some((self.calls.get() + after + 1, fault)));
    }

    /// Whether the fault has struck; there is none any more.
    pub fn heal(&self) -> bool {
        self.fault.take().is_some_and(|(call, _)| self.calls.get() >= call)
    }

    pub fn migration(&self) -> Migration {
        self.with(|hub| hub.migrations.current(&self.capsule)).unwrap()
    }

    pub fn home(&self) -> Home {
        self.with(|hub| hub.store.registry.get(&self.capsule).unwrap().residence.home(HUB))
    }

    /// Asks for a step, as the operator; a cut-over with the root that the hub has.
    pub fn ask(&self, step: MigrationStep) -> Option<Answer<()>> {
        self.ask_by(&operator(), step)
    }

    pub fn ask_by(&self, call: &Call, step: MigrationStep) -> Option<Answer<()>> {
        let capsule = &self.capsule;
        match step {
            MigrationStep::Reserve => Some(factory::reserve(self, call, capsule).map(drop)),
            MigrationStep::Create => run(factory::create(self, call, capsule)).map(|answer| answer.map(drop)),
            MigrationStep::Install => {
                run(factory::install(self, call, capsule)).map(|answer| answer.map(drop))
            }
            MigrationStep::Freeze => Some(factory::freeze(self, call, capsule).map(drop)),
            MigrationStep::Thaw => Some(factory::thaw(self, call, capsule).map(drop)),
            MigrationStep::BuildManifest => Some(factory::build_manifest(self, call, capsule).map(drop)),
            MigrationStep::CutOver => {
                let newest = self.with(|hub| hub.migrations.newest(capsule)).unwrap();
                let root = newest.and_then(|migration| migration.root).unwrap_or_default();
                run(factory::cut_over(self, call, capsule, &root)).map(|answer| answer.map(drop))
            }
            MigrationStep::Abort => run(factory::abort(self, call, capsule)).map(|answer| answer.map(drop)),
            MigrationStep::Handoff => {
                run(factory::handoff(self, call, capsule)).map(|answer| answer.map(drop))
            }
        }
    }

    /// Brings the newest migration to a phase, from nothing.
    pub fn reach(&self, phase: MigrationPhase) {
        use MigrationStep::*;
        let ask = |step| self.ask(step).expect("an answer").unwrap();
        ask(Reserve);
        match phase {
            MigrationPhase::Reserved => return,
            MigrationPhase::Aborted => return ask(Abort),
            MigrationPhase::Creating => {
                self.strike(0, Fault::LostAfter);
                assert_eq!(self.ask(Create), None);
                self.heal();
                return;
            }
            _ => {}
        }
        let rest = [
            (Create, MigrationPhase::Created),
            (Install, MigrationPhase::Installed),
            (Freeze, MigrationPhase::Frozen),
            (CutOver, MigrationPhase::CutOver),
            (Handoff, MigrationPhase::HandedOff),
        ];
        for (step, behind) in rest {
            if step == CutOver {
                self.copy();
            }
            ask(step);
            if behind == MigrationPhase::CutOver {
                self.consent(&by("alice"), &[principal("alice")]).unwrap();
            }
            assert_eq!(self.migration().phase, behind);
            if behind == phase {
                return;
            }
        }
    }

    /// Cuts over from where the module is installed.
    pub fn reach_from_installed(&self) {
        self.ask(MigrationStep::Freeze).unwrap().unwrap();
        self.copy();
        self.ask(MigrationStep::CutOver).unwrap().unwrap();
    }

    /// Opens the sealed import again, for what a later freeze has.
    pub fn reopen(&self) {
        let canister = self.migration().canister_id.unwrap();
        let mut canisters = self.canisters.borrow_mut();
        let (store, import) = canisters.get_mut(&canister).unwrap().personal.as_mut().unwrap();
        import.reopen(store, &operator()).unwrap();
    }

    /// What somebody does in the personal canister of the newest migration.
    pub fn at_home<T>(
        &self,
        does: impl FnOnce(&mut Store<VectorMemory>, &mut Import<VectorMemory>) -> Answer<T>,
    ) -> Answer<T> {
        let canister = self.migration().canister_id.expect("a canister");
        let mut canisters = self.canisters.borrow_mut();
        let (store, import) = canisters.get_mut(&canister).unwrap().personal.as_mut().expect("a module");
        let answer = does(store, import);
        import.tidy(store);
        answer
    }

    /// An owner's consent to the hand-off.
    pub fn consent(&self, call: &Call, controllers: &[Principal]) -> Answer<HandoffConsent> {
        self.at_home(|store, import| import.consent(store, call, controllers.to_vec()))
    }

    /// What the relay does while the capsule is frozen: everything is copied and sealed.
    pub fn copy(&self) {
        let (call, capsule) = (operator(), &self.capsule);
        self.ask(MigrationStep::BuildManifest).unwrap().unwrap();
        let migration = self.migration();
        let mut canisters = self.canisters.borrow_mut();
        let target = canisters.get_mut(&migration.canister_id.unwrap()).unwrap();
        let (store, import) = target.personal.as_mut().unwrap();
        self.with(|hub| {
            let blobs = hub.store.blobs_list(&call, capsule, None, 10).unwrap().items;
            import.declare_blobs(store, &call, &blobs).unwrap();
            for blob in blobs {
                for index in 0..chunk_count(blob.length) {
                    let chunk = hub.store.blobs_read_chunk(&call, capsule, &blob.sha256, index).unwrap();
                    import.put_chunk(store, &call, &blob.sha256, index, &chunk).unwrap();
                }
            }
            let records = hub.store.export_records(&call, capsule, None, 1 << 20).unwrap().records;
            import.put_records(store, &call, migration.generation, records).unwrap();
        });
        while !import.seal(store, &call, migration.generation).unwrap().complete {}
    }

    async fn call<T>(&self, effect: impl FnOnce() -> Answer<T>) -> Answer<T> {
        self.calls.set(self.calls.get() + 1);
        let error = || Error::Upstream("a fault of the test".into());
        match self.fault.get().filter(|(call, _)| *call == self.calls.get()) {
            None => effect(),
            Some((_, Fault::Refused)) => Err(error()),
            Some((_, Fault::LostBefore)) => pending().await,
            Some((_, Fault::LostAfter)) => {
                effect()?;
                pending().await
            }
            Some((_, Fault::Unreadable)) => {
                effect()?;
                Err(error())
            }
        }
    }

    /// A method of the management canister on a canister that the hub controls.
    async fn manage<T>(&self, id: Principal, effect: impl FnOnce(&mut Canister) -> Answer<T>) -> Answer<T> {
        self.call(|| {
            let mut canisters = self.canisters.borrow_mut();
            let canister =
                canisters.get_mut(&id).ok_or_else(|| Error::Upstream("no such canister".into()))?;
            if !canister.controllers.contains(&HUB) {
                return Err(Error::Upstream("only controllers may do this".into()));
            }
            effect(canister)
        })
        .await
    }

    /// A method of a personal canister, called by the hub.
    async fn import<T>(
        &self,
        id: Principal,
        method: impl FnOnce(&mut Store<VectorMemory>, &mut Import<VectorMemory>, &Call) -> Answer<T>,
    ) -> Answer<T> {
        self.call(|| {
            let mut canisters = self.canisters.borrow_mut();
            let canister = canisters.get_mut(&id).filter(|canister| canister.run_state == RunState::Running);
            let personal = canister.and_then(|canister| canister.personal.as_mut());
            let (store, import) = personal.ok_or_else(|| Error::Upstream("nobody answers".into()))?;
            let call = from_hub(store, import);
            method(store, import, &call)
        })
        .await
    }
}

impl Runtime for Network {
    type Memory = VectorMemory;

    fn with<T>(&self, use_hub: impl FnOnce(&mut Hub<VectorMemory>) -> T) -> T {
        use_hub(&mut self.hub.borrow_mut())
    }

    fn recertify(&self, _capsule: &str) {}

    fn now(&self) -> Time {
        NOW
    }

    fn balance(&self) -> u128 {
        self.balance.get()
    }

    fn liquid_balance(&self) -> u128 {
        self.balance.get()
    }

    fn creation_fee(&self) -> u128 {
        FEE
    }

    fn instructions(&self) -> u64 {
        1_000_000
    }

    async fn create_canister(&self, endowment: u128) -> Creation {
        let number = self.canisters.borrow().len() as u8 + 2;
        let unreadable = self.fault.get() == Some((self.calls.get() + 1, Fault::Unreadable));
        let created = self.call(|| {
            let id = Principal::from_slice(&[0, 0, 0, 0, 0, 0, 0, number, 1, 1]);
            self.balance.set(self.balance.get() - FEE - endowment);
            let canister = Canister {
                controllers: [HUB].into(),
                run_state: RunState::Running,
                cycles: endowment,
                module_hash: None,
                personal: None,
            };
            self.canisters.borrow_mut().insert(id, canister);
            Ok(id)
        });
        match created.await {
            Ok(id) => Creation::Created(id),
            Err(error) if unreadable => Creation::Unknown(error),
            Err(error) => Creation::Refused(error),
        }
    }

    async fn install_code(
        &self,
        canister: Principal,
        mode: InstallMode,
        module: Vec<u8>,
        arg: Vec<u8>,
    ) -> Answer<()> {
        self.manage(canister, |target| {
            assert_eq!(mode == InstallMode::Install, target.module_hash.is_none());
            let memories = storage::memory::manager(VectorMemory::default(), 1);
            let mut store = Store::open(&memories, CanisterKind::Personal, canister);
            let mut import = Import::init(&memories);
            import.begin(&mut store, candid::decode_one(&arg).unwrap())?;
            target.module_hash = Some(ByteBuf::from(sha256(&module)));
            target.personal = Some((store, import));
            Ok(())
        })
        .await
    }

    async fn status(&self, canister: Principal) -> Answer<Status> {
        self.manage(canister, |found| {
            let Canister { run_state, cycles, module_hash, .. } = found;
            Ok(Status { run_state: *run_state, module_hash: module_hash.clone(), cycles: *cycles })
        })
        .await
    }

    async fn controllers(&self, canister: Principal) -> Answer<BTreeSet<Principal>> {
        self.call(|| match self.canisters.borrow().get(&canister) {
            Some(found) => Ok(found.controllers.clone()),
            None => Err(Error::NotFound(format!("canister {canister}"))),
        })
        .await
    }

    async fn set_controllers(&self, canister: Principal, controllers: BTreeSet<Principal>) -> Answer<()> {
        self.manage(canister, |target| {
            target.controllers = controllers;
            Ok(())
        })
        .await
    }

    async fn free_cycles(&self, canister: Principal) -> Answer<()> {
        self.manage(canister, |_| Ok(())).await
    }

    async fn stop(&self, canister: Principal) -> Answer<()> {
        self.manage(canister, |target| {
            target.run_state = RunState::Stopped;
            Ok(())
        })
        .await
    }

    async fn delete(&self, canister: Principal) -> Answer<()> {
        self.call(|| {
            let found = self.canisters.borrow_mut().remove(&canister);
            assert_eq!(found.expect("a canister").run_state, RunState::Stopped);
            Ok(())
        })
        .await
    }

    async fn import_status(&self, canister: Principal) -> Answer<ImportStatus> {
        self.import(canister, |store, import, _| import.status(store)).await
    }

    async fn import_activate(
        &self,
        canister: Principal,
        root: &ByteBuf,
        hub_tokens: Option<HubTokens>,
    ) -> Answer<ImportStatus> {
        self.import(canister, |store, import, call| import.activate(store, call, root, hub_tokens)).await
    }

    async fn handoff_terms(&self, canister: Principal, asker: Principal) -> Answer<HandoffTerms> {
        self.import(canister, |store, import, call| import.terms(store, call, asker)).await
    }

    async fn import_close(&self, canister: Principal) -> Answer<ImportStatus> {
        let hub_controls =
            self.canisters.borrow().get(&canister).is_some_and(|it| it.controllers.contains(&HUB));
        self.import(canister, |store, import, call| import.close(store, call, [9; 32], hub_controls)).await
    }

    async fn import_return_cycles(&self, canister: Principal) -> Answer<u128> {
        self.call(|| {
            let mut canisters = self.canisters.borrow_mut();
            let target = canisters.get_mut(&canister).expect("a canister");
            let (store, import) = target.personal.as_ref().expect("a module");
            import.may_return_cycles(&from_hub(store, import))?;
            let returned = target.cycles.saturating_sub(CYCLES_KEPT);
            target.cycles -= returned;
            self.balance.set(self.balance.get() + returned);
            Ok(returned)
        })
        .await
    }
}

fn from_hub(store: &Store<VectorMemory>, import: &Import<VectorMemory>) -> Call {
    Call { caller: HUB, operator: import.is_operator(store, &HUB), at: NOW }
}

fn photo(blob: &Digest, length: u64) -> MemoryInput {
    let asset = Asset {
        variant_: AssetVariant::Original,
        name: "a photo.jpg".into(),
        description: None,
        mime_type: "image/jpeg".into(),
        tags: vec![],
        detail: AssetDetail::Note { format: None, language: None, word_count: None },
        location: AssetLocation::Internal { sha256: ByteBuf::from(*blob), length },
        created_at: 1,
        updated_at: 2,
    };
    MemoryInput {
        id: Some("photo".into()),
        memory_type: MemoryType::Image,
        title: None,
        description: None,
        content_type: "image/jpeg".into(),
        tags: vec![],
        people: vec![],
        location: None,
        notes: None,
        parent_folder_id: None,
        file_created_at: None,
        date_of_memory: None,
        assets: vec![asset],
    }
}
