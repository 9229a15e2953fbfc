//! Certified answers of capsules with more public memories than one message may touch.

mod world;

use capsule::http::Context;
use capsule::store::Store;
use ic_stable_structures::{Memory as StableMemory, VectorMemory};
use serde_bytes::ByteBuf;
use std::cell::Cell;
use std::rc::Rc;
use types::*;
use world::*;

/// More than one step takes back or certifies.
const MANY: usize = 1_001;

fn name(number: usize) -> String {
    format!("m{number:04}")
}

fn publish<M: StableMemory>(store: &mut Store<M>, capsule: &str, count: usize) {
    for number in 0..count {
        let id = name(number);
        let thumbnail = asset(AssetVariant::Thumbnail, AssetLocation::Inline(ByteBuf::from(id.as_bytes())));
        let input = MemoryInput { assets: vec![thumbnail], ..memory_input(&id, None) };
        store.create::<Memory>(&by("alice"), capsule, input).unwrap();
        let entry = public(&format!("e{id}"), Resource::Memory(id), 1);
        store.create::<AccessEntry>(&by("alice"), capsule, entry).unwrap();
    }
}

fn furnished(count: usize) -> World {
    let mut world = hub();
    publish(&mut world.store, &world.capsule, count);
    world
}

/// Status of the answer to everybody, and whether it is certified.
fn answer(world: &World, number: usize) -> (u16, bool) {
    let request = HttpRequest {
        method: "GET".into(),
        url: format!("/asset/{}/thumbnail", name(number)),
        headers: vec![],
        body: ByteBuf::new(),
        certificate_version: Some(2),
    };
    let context = Context {
        me: HUB,
        now: NOW,
        certificate: Some(vec![]),
        beside_http: [0; 32],
        is_operator: &|_| false,
    };
    let answer = world.store.http.respond(&request, &world.store.assets(), &context);
    let expression = answer.headers.iter().find(|(name, _)| name == "IC-CertificateExpression");
    (answer.status_code, !expression.expect("each answer says how it is certified").1.contains("no_cert"))
}

fn answers(world: &World) -> Vec<(u16, bool)> {
    (0..MANY).map(|number| answer(world, number)).collect()
}

fn step(world: &mut World) -> bool {
    world.store.withdraw_some(&world.capsule).unwrap()
}

#[test]
fn a_move_takes_back_what_is_certified_in_steps_first() {
    let mut world = furnished(MANY);
    let capsule = world.capsule.clone();
    assert!(matches!(world.store.withdraw_some(&capsule), Err(Error::Conflict(_))), "only from a freeze");
    assert_eq!(answers(&world), [(200, true); MANY]);
    world.store.freeze(&capsule).unwrap();
    assert_eq!(answers(&world), [(200, true); MANY]);
    assert!(!step(&mut world));
    assert_eq!((answer(&world, 0), answer(&world, MANY - 1)), ((200, false), (200, true)));
    assert!(matches!(world.store.move_to(&capsule, HOME), Err(Error::Conflict(_))));
    assert!(step(&mut world));
    assert_eq!(answers(&world), [(200, false); MANY]);
    world.store.move_to(&capsule, HOME).unwrap();
    assert_eq!(answers(&world), [(308, false); MANY]);
}

#[test]
fn a_capsule_that_does_not_move_in_the_end_is_certified_again_in_steps() {
    let mut world = furnished(MANY);
    let capsule = world.capsule.clone();
    world.store.freeze(&capsule).unwrap();
    while !step(&mut world) {}
    world.store.thaw(&capsule).unwrap();
    assert_eq!((answer(&world, 0), answer(&world, MANY - 1)), ((200, true), (200, false)));
    world.store.freeze(&capsule).unwrap();
    while !step(&mut world) {}
    world.store.publish_some();
    assert_eq!(answers(&world), [(200, false); MANY], "nothing goes on while it is about to move");
    world.store.thaw(&capsule).unwrap();
    world.store.publish_some();
    assert_eq!(answers(&world), [(200, true); MANY]);
}

#[test]
fn a_thaw_without_a_cut_over_certifies_nothing_again() {
    let mut world = furnished(2);
    world.store.freeze(&world.capsule).unwrap();
    world.store.thaw(&world.capsule).unwrap();
    assert_eq!(world.store.http.next_unpublished(), None);
    assert_eq!(answer(&world, 1), (200, true));
}

#[test]
fn a_capsule_that_is_being_deleted_shows_no_more_than_what_is_still_certified() {
    let mut world = furnished(2 * MANY);
    let capsule = world.capsule.clone();
    let call = by("alice");
    assert!(matches!(world.store.capsules_delete(&call, &capsule), Err(Error::Conflict(_))));
    assert_eq!((answer(&world, 0), answer(&world, 2 * MANY - 1)), ((401, false), (200, true)));
    while world.store.capsules_delete(&call, &capsule).is_err() {
        assert_eq!(answer(&world, 2 * MANY - 1), (401, false));
    }
    assert_eq!(world.store.records.total(&capsule).records, 0);
}

/// A memory that counts how often it is read and written.
#[derive(Clone, Default)]
struct Counting {
    memory: VectorMemory,
    touches: Rc<Cell<u64>>,
}

impl StableMemory for Counting {
    fn size(&self) -> u64 {
        self.memory.size()
    }

    fn grow(&self, pages: u64) -> i64 {
        self.memory.grow(pages)
    }

    fn read(&self, offset: u64, bytes: &mut [u8]) {
        self.touches.set(self.touches.get() + 1);
        self.memory.read(offset, bytes);
    }

    fn write(&self, offset: u64, bytes: &[u8]) {
        self.touches.set(self.touches.get() + 1);
        self.memory.write(offset, bytes);
    }
}

#[test]
fn a_canister_wakes_up_with_the_same_work_however_much_is_public() {
    let touches = |count: usize| {
        let memory = Counting::default();
        let open = || {
            Store::open(&storage::memory::manager(memory.clone(), 1), storage::header::CanisterKind::Hub, HUB)
        };
        let mut store = open();
        let capsule = store.capsules_create(&by("alice"), person("alice"), [7; 32]).unwrap().id;
        publish(&mut store, &capsule, count);
        let before = memory.touches.get();
        let again = open();
        let opened = memory.touches.get() - before;
        assert_eq!(again.http.branch_hash(), store.http.branch_hash());
        opened
    };
    let few = touches(1);
    let many = touches(MANY);
    println!("{few} and {many} reads and writes");
    assert!(many <= few + 16, "as deep as the tree is, and no more");
}
