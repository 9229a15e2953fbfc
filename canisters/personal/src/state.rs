//! The personal canister's state, and how a method gets at it: with its caller, in stable memory,
//! certified.

use capsule::access::Call;
use capsule::certified::Certified;
use capsule::header::Role;
use capsule::http::Context;
use capsule::import::Import;
use capsule::meter::Meter;
use capsule::types::*;
use ic_cdk::api;
use ic_stable_structures::DefaultMemoryImpl;
use serde_bytes::ByteBuf;
use std::cell::RefCell;

type Store = capsule::store::Store<DefaultMemoryImpl>;

pub struct State {
    pub store: Store,
    pub import: Import<DefaultMemoryImpl>,
    meter: Meter<DefaultMemoryImpl>,
    certified: Certified,
}

thread_local! {
    static STATE: RefCell<Option<State>> = const { RefCell::new(None) };
}

/// Opens stable memory: at install and after every upgrade. Nothing is copied.
pub fn open() {
    let memories = Store::memories(DefaultMemoryImpl::default(), Role::Personal);
    let store = Store::open(&memories, Role::Personal, api::canister_self());
    let certified = Certified::new(&store.slots);
    let state = State { import: Import::init(&memories), meter: Meter::init(&memories), certified, store };
    STATE.set(Some(state));
    with(State::certify);
}

/// The state, for a moment: never across an await.
pub fn with<T>(use_state: impl FnOnce(&mut State) -> T) -> T {
    STATE.with_borrow_mut(|state| use_state(state.as_mut().expect("opened at install and upgrade")))
}

/// Who calls, and when.
pub fn call() -> Call {
    let caller = api::msg_caller();
    let operator = with(|state| state.import.is_operator(&state.store, &caller));
    Call { caller, operator, at: api::time() }
}

/// A method that reads.
pub fn read<T>(method: impl FnOnce(&Store, &Call) -> T) -> T {
    let call = call();
    with(|state| method(&state.store, &call))
}

/// A method that writes: what it does is metered and certified. Who is refused changes nothing.
pub fn write<T>(name: &'static str, method: impl FnOnce(&mut Store, &Call) -> Answer<T>) -> Answer<T> {
    change(name, |state, call| {
        let answer = method(&mut state.store, call)?;
        state.import.tidy(&mut state.store);
        Ok(answer)
    })
}

/// The same with all of the canister's state.
pub fn change<T>(name: &'static str, method: impl FnOnce(&mut State, &Call) -> T) -> T {
    let call = call();
    with(|state| {
        let answer = method(state, &call);
        state.certify();
        state.meter.add(name, ic0::msg_arg_data_size() as u64, api::instruction_counter());
        answer
    })
}

/// What proves the manifest root of the capsule: certificate and witness.
pub fn certified(capsule: &str) -> Answer<(ByteBuf, ByteBuf)> {
    let certificate = api::data_certificate().ok_or_else(|| {
        Error::Conflict("a certificate comes with queries only: call this as a query".into())
    })?;
    let witness = with(|state| state.certified.manifest_witness(capsule, &state.store.http.branch_hash()))?;
    Ok((certificate.into(), witness.into()))
}

/// What an answer to an HTTP request depends on besides the request.
pub fn http_context(state: &State) -> Context {
    Context {
        me: state.store.me,
        now: api::time(),
        certificate: api::data_certificate(),
        manifest_branch: state.certified.manifest_branch(),
    }
}

impl State {
    /// Begins the import of a capsule into the empty canister.
    pub fn begin(&mut self, init: PersonalInit) -> Answer<()> {
        self.import.begin(&mut self.store, init)?;
        self.certify();
        Ok(())
    }

    fn certify(&mut self) {
        let Ok(capsule) = self.import.capsule_id() else { return };
        self.certified.update(&self.store.slots, &capsule);
        api::certified_data_set(self.certified.digest(&self.store.http.branch_hash()));
    }

    pub fn costs(&self) -> Vec<OperationCost> {
        self.meter.list()
    }
}
