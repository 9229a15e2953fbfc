//! The state cell of a canister, and how a method gets at it: with its caller, metered, certified.

use access::Call;
use candid::Principal;
use capsule::certified::Certified;
use capsule::http::Context;
use ic_cdk::api;
use ic_stable_structures::memory_manager::MemoryManager;
use ic_stable_structures::DefaultMemoryImpl;
use serde_bytes::ByteBuf;
use std::cell::RefCell;
use std::thread::LocalKey;
use storage::header::CanisterKind;
use storage::meter::Meter;
use types::*;

pub type StableMemory = DefaultMemoryImpl;
pub type Memories = MemoryManager<StableMemory>;
pub type Store = capsule::store::Store<StableMemory>;

/// What is in the state cell of a canister.
pub struct State<C> {
    canister: C,
    meter: Meter<StableMemory>,
    certified: Certified<StableMemory>,
}

/// A canister that keeps capsules.
pub trait Canister: Sized + 'static {
    const KIND: CanisterKind;
    /// Below this many liquid cycles the canister calls itself low.
    const LOW_THRESHOLD: u128;

    /// Opens what is in stable memory, or begins it where that is empty. Nothing is copied.
    fn open(memories: &Memories, store: Store) -> Self;
    fn store(&self) -> &Store;
    fn store_mut(&mut self) -> &mut Store;
    fn is_operator(&self, principal: &Principal) -> bool;
    /// Cycles set aside for others.
    fn reserved(&self) -> u128 {
        0
    }
    /// OutOfCycles where the canister keeps its cycles for something else than uploads.
    fn may_upload(&self) -> Answer<()> {
        Ok(())
    }
    /// The one capsule that the canister is for.
    fn own_capsule(&self) -> Option<String> {
        None
    }
    /// What is left to do after a write that was not refused.
    fn tidy(&mut self) {}

    /// The cell that [`crate::canister!`] makes.
    fn cell() -> &'static LocalKey<RefCell<Option<State<Self>>>>;

    /// To be called at install and after every upgrade.
    fn start() {
        let memories = Store::memories(StableMemory::default(), Self::KIND);
        let store = Store::open(&memories, Self::KIND, api::canister_self());
        let (meter, certified) = (Meter::init(&memories), Certified::init(&memories));
        let state = State { meter, certified, canister: Self::open(&memories, store) };
        Self::cell().set(Some(state));
        with(State::<Self>::certify);
    }

    /// The canister, for a moment: never across an await.
    fn with<T>(use_canister: impl FnOnce(&mut Self) -> T) -> T {
        with(|state| use_canister(&mut state.canister))
    }

    /// Who calls, and when.
    fn call() -> Call {
        let caller = api::msg_caller();
        Call { caller, operator: Self::with(|canister| canister.is_operator(&caller)), at: api::time() }
    }

    /// A method that reads.
    fn read<T>(method: impl FnOnce(&Store, &Call) -> T) -> T {
        let call = Self::call();
        Self::with(|canister| method(canister.store(), &call))
    }

    /// A method that writes into the store: metered and certified. Who is refused changes nothing.
    fn write<T>(name: &'static str, method: impl FnOnce(&mut Store, &Call) -> Answer<T>) -> Answer<T> {
        Self::change(name, |canister, call| {
            let answer = method(canister.store_mut(), call)?;
            canister.tidy();
            Ok(answer)
        })
    }

    /// The same with all of the canister.
    fn change<T>(name: &'static str, method: impl FnOnce(&mut Self, &Call) -> T) -> T {
        let call = Self::call();
        with(|state| {
            let answer = method(&mut state.canister, &call);
            state.certify();
            state.meter.add(name, ic0::msg_arg_data_size() as u64, api::instruction_counter());
            answer
        })
    }

    /// What is certified of a capsule has changed: where it lives, or the root of its manifest.
    fn recertify(capsule: &str) {
        with(|state: &mut State<Self>| {
            state.certified.update(&state.canister.store().registry, capsule);
            state.certify();
        })
    }

    /// What proves the manifest root of a capsule: certificate and witness.
    fn root_proof(capsule: &str) -> Answer<(ByteBuf, ByteBuf)> {
        proof(|state: &State<Self>| {
            let store = state.canister.store();
            state.certified.manifest_witness(&store.registry, capsule, &store.http.branch_hash())
        })
    }

    /// What proves where a capsule lives: certificate and witness.
    fn home_proof(capsule: &str) -> Answer<(ByteBuf, ByteBuf)> {
        proof(|state: &State<Self>| {
            let store = state.canister.store();
            state.certified.home_witness(&store.registry, capsule, &store.http.branch_hash())
        })
    }

    /// The HTTP side of the store, with what an answer depends on besides the request.
    fn http<T>(method: impl FnOnce(&Store, &Context) -> T) -> T {
        with(|state: &mut State<Self>| {
            let is_operator = |principal: &Principal| state.canister.is_operator(principal);
            let context = Context {
                is_operator: &is_operator,
                me: api::canister_self(),
                now: api::time(),
                certificate: api::data_certificate(),
                beside_http: state.certified.beside_http(&state.canister.store().registry),
            };
            method(state.canister.store(), &context)
        })
    }

    /// What the methods have cost so far.
    fn costs() -> Vec<OperationCost> {
        with(|state: &mut State<Self>| state.meter.list())
    }
}

fn with<C: Canister, T>(use_state: impl FnOnce(&mut State<C>) -> T) -> T {
    C::cell().with_borrow_mut(|state| use_state(state.as_mut().expect("started at install and upgrade")))
}

/// The certificate that a query sees, and a witness beside it.
fn proof<C: Canister>(witness: impl FnOnce(&State<C>) -> Answer<Vec<u8>>) -> Answer<(ByteBuf, ByteBuf)> {
    let certificate = api::data_certificate().ok_or_else(|| {
        Error::Conflict("a certificate comes with queries only: call this as a query".into())
    })?;
    let witness = with(|state: &mut State<C>| witness(state))?;
    Ok((certificate.into(), witness.into()))
}

impl<C: Canister> State<C> {
    fn certify(&mut self) {
        let store = self.canister.store();
        if let Some(capsule) = self.canister.own_capsule() {
            self.certified.update(&store.registry, &capsule);
        }
        api::certified_data_set(self.certified.digest(&store.registry, &store.http.branch_hash()));
    }
}

/// Gives a canister its state cell: `canister!(Name { items of its impl Canister })`.
#[macro_export]
macro_rules! canister {
    ($canister:ident { $($item:tt)* }) => {
        ::std::thread_local! {
            static STATE: ::std::cell::RefCell<Option<$crate::State<$canister>>> =
                const { ::std::cell::RefCell::new(None) };
        }

        impl $crate::Canister for $canister {
            fn cell() -> &'static ::std::thread::LocalKey<::std::cell::RefCell<Option<$crate::State<$canister>>>> {
                &STATE
            }

            $($item)*
        }
    };
}
