//! The factory on a small network in memory: each step, each repetition, each answer that is lost.

mod network;

use candid::Nat;
use migration::migrations::{cycles, spent};
use migration::phases::{cell, Cell, PHASES, STEPS};
use migration::runtime::Runtime;
use network::*;
use std::collections::BTreeSet;
use types::MigrationStep::*;
use types::*;

/// The steps that wait for others, and the phase that each needs and leaves.
const AWAITING: [(MigrationStep, MigrationPhase, MigrationPhase); 8] = [
    (Create, MigrationPhase::Reserved, MigrationPhase::Created),
    (Install, MigrationPhase::Created, MigrationPhase::Installed),
    (CutOver, MigrationPhase::Frozen, MigrationPhase::CutOver),
    (Handoff, MigrationPhase::CutOver, MigrationPhase::HandedOff),
    (Abort, MigrationPhase::Reserved, MigrationPhase::Aborted),
    (Abort, MigrationPhase::Created, MigrationPhase::Aborted),
    (Abort, MigrationPhase::Installed, MigrationPhase::Aborted),
    (Abort, MigrationPhase::Frozen, MigrationPhase::Aborted),
];

fn at(phase: MigrationPhase) -> Network {
    let network = Network::new();
    network.reach(phase);
    if phase == MigrationPhase::Frozen {
        network.copy();
    }
    network
}

fn is_conflict(answer: &Option<Answer<()>>) -> bool {
    matches!(answer, Some(Err(Error::Conflict(_))))
}

/// What the hub has less is what the ledger says that it gave away, and what came back is counted.
fn check_cycles(network: &Network, before: u128) {
    let given = |entry: &&CycleEntry| !matches!(entry.operation, Expense::Calls(_));
    let migration = network.migration();
    let given: u128 = migration.ledger.iter().filter(given).map(|entry| cycles(&entry.amount)).sum();
    assert_eq!(before - network.balance.get(), given - cycles(&migration.returned));
}

#[test]
fn every_step_in_every_phase_does_what_the_table_says() {
    for (phase, _) in PHASES {
        for (step, _, cells) in STEPS {
            let network = at(phase);
            let before = network.migration();
            let answer = network.ask(step).expect("an answer");
            let after = network.migration();
            match cells[phase as usize] {
                // whoever has moved does so once
                Cell::Do if phase == MigrationPhase::HandedOff => {
                    assert!(matches!(answer, Err(Error::Moved(_))), "{step:?} in {phase:?}: {answer:?}")
                }
                Cell::Do => assert_eq!(answer, Ok(()), "{step:?} in {phase:?}"),
                Cell::Done => assert_eq!((answer, &after), (Ok(()), &before), "{step:?} in {phase:?}"),
                Cell::No => {
                    assert!(is_conflict(&Some(answer)), "{step:?} in {phase:?}");
                    assert_eq!(after, before, "{step:?} in {phase:?}");
                }
            }
        }
    }
}

#[test]
fn a_step_asked_for_again_changes_and_costs_nothing() {
    let network = Network::new();
    let start = network.balance.get();
    for step in [Reserve, Create, Install, Freeze, BuildManifest, CutOver, Handoff] {
        if step == CutOver {
            network.copy();
        }
        if step == Handoff {
            network.consent(&by("alice"), &[principal("alice")]).unwrap();
        }
        network.ask(step).unwrap().unwrap();
        let (migration, balance) = (network.migration(), network.balance.get());
        if cell(step, migration.phase) == Cell::Done {
            network.ask(step).unwrap().unwrap();
            assert_eq!((network.migration(), network.balance.get()), (migration, balance), "{step:?} again");
        }
    }
    assert_eq!(network.canisters.borrow().len(), 1);
    check_cycles(&network, start);
    let migration = network.migration();
    let canister = migration.canister_id.unwrap();
    assert_eq!(network.home(), Home::Moved(canister));
    assert_eq!(network.canisters.borrow()[&canister].controllers, BTreeSet::from([principal("alice")]));
    let fees = migration.ledger.iter().filter(|entry| entry.operation == Expense::CreationFee);
    assert_eq!(fees.map(|entry| entry.amount.clone()).collect::<Vec<_>>(), [Nat::from(FEE)]);
}

/// Strikes each call of each step in each way; the same step again, or an abort, ends well.
#[test]
fn whatever_happens_to_a_call_the_step_again_ends_as_if_nothing_had() {
    for (step, before, behind) in AWAITING {
        for fault in FAULTS {
            for number in 0.. {
                let network = at(before);
                network.strike(number, fault);
                let answer = network.ask(step);
                if !network.heal() {
                    assert_eq!(answer, Some(Ok(())), "no call {number} in {step:?}");
                    break;
                }
                assert!(
                    !matches!(answer, Some(Ok(()))),
                    "{fault:?} at call {number} of {step:?} from {before:?}"
                );
                let what = format!("{fault:?} at call {number} of {step:?} from {before:?}");
                if step == Create && fault != Fault::Refused {
                    lost_creation(&network, &what);
                    continue;
                }
                assert_eq!(network.ask(step), Some(Ok(())), "{what}");
                assert_eq!(network.migration().phase, behind, "{what}");
                let canisters = network.canisters.borrow().len();
                assert_eq!(canisters, usize::from(behind != MigrationPhase::Aborted), "{what}");
                if behind == MigrationPhase::Aborted {
                    assert_eq!(network.home(), Home::Hub, "{what}");
                }
            }
        }
    }
}

/// Nothing is created a second time; the migration is given up, and a new one may begin.
fn lost_creation(network: &Network, what: &str) {
    assert_eq!(network.migration().phase, MigrationPhase::Creating, "{what}");
    assert!(is_conflict(&network.ask(Create)), "{what}");
    assert!(network.migration().can_abort);
    network.ask(Abort).unwrap().unwrap();
    let abandoned = network.canisters.borrow().len();
    network.reach(MigrationPhase::Created);
    assert_eq!(network.canisters.borrow().len(), abandoned + 1, "{what}");
}

#[test]
fn a_capsule_that_went_live_unheard_is_not_taken_back() {
    let network = at(MigrationPhase::Frozen);
    network.strike(1, Fault::LostAfter);
    assert_eq!(network.ask(CutOver), None, "the answer to the activation is lost");
    assert!(network.heal());
    assert!(is_conflict(&network.ask(Abort)));
    assert_eq!(network.home(), Home::Migrating, "nobody writes in two places");
    network.ask(CutOver).unwrap().unwrap();
    assert_eq!(network.migration().phase, MigrationPhase::CutOver);
}

/// No message takes back more certified answers than it can, and no capsule moves before all are.
#[test]
fn a_cut_over_that_stops_between_two_of_its_messages_is_undone_or_goes_on() {
    for goes_on in [true, false] {
        let network = Network::new();
        network.publish(1_001);
        network.reach(MigrationPhase::Frozen);
        network.copy();
        network.strike(1, Fault::LostBefore);
        assert_eq!(network.ask(CutOver), None, "half of them are taken back");
        assert!(network.heal());
        let capsule = network.capsule.clone();
        let is_certified = || network.with(|hub| hub.store.http.is_certified(&capsule));
        assert!(is_certified());
        if !goes_on {
            network.ask(Thaw).unwrap().unwrap();
            network.with(|hub| hub.store.publish_some());
            assert_eq!(network.with(|hub| hub.store.http.next_unpublished()), None);
            network.ask(Freeze).unwrap().unwrap();
            network.reopen();
            network.copy();
        }
        network.strike(if goes_on { 2 } else { 3 }, Fault::LostAfter);
        network.ask(CutOver).unwrap().unwrap();
        assert!(!network.heal(), "a question for each thousand, and the activation");
        assert!(!is_certified());
        let canister = network.migration().canister_id.unwrap();
        assert_eq!(network.home(), Home::Moved(canister));
        assert!(network.canisters.borrow()[&canister]
            .personal
            .as_ref()
            .unwrap()
            .0
            .http
            .is_certified(&capsule));
    }
}

#[test]
fn one_step_runs_at_a_time_and_one_that_is_gone_is_in_nobodys_way() {
    let network = at(MigrationPhase::Reserved);
    network.strike(0, Fault::LostBefore);
    let (call, capsule) = (operator(), network.capsule.clone());
    let mut waiting = Box::pin(migration::factory::create(&network, &call, &capsule));
    assert_eq!(run(waiting.as_mut()), None);
    for step in [Reserve, Create, Abort] {
        assert!(is_conflict(&network.ask(step)), "{step:?} beside another step");
    }
    drop(waiting);
    network.heal();
    network.ask(Abort).unwrap().unwrap();
}

const DAY: Time = 24 * 60 * 60 * 1_000_000_000;

#[test]
fn an_owner_starts_what_an_operator_has_invited_once_a_day() {
    let network = Network::new();
    let alice = by("alice");
    assert!(matches!(network.ask_by(&alice, Reserve), Some(Err(Error::Unauthorized(_)))));
    network.with(|hub| hub.invite(&operator(), &network.capsule)).unwrap();
    for step in [Reserve, Reserve, Create, Abort] {
        network.ask_by(&alice, step).unwrap().unwrap();
    }
    assert!(is_conflict(&network.ask_by(&alice, Reserve)), "an abort does not count for nothing");
    network.ask_by(&access::Call { at: NOW + DAY, ..alice }, Reserve).unwrap().unwrap();
}

#[test]
fn a_reservation_that_does_not_go_on_is_over_after_a_day() {
    let network = at(MigrationPhase::Reserved);
    let later = access::Call { at: NOW + DAY + 1, ..operator() };
    assert_eq!(network.with(|hub| hub.migrations.reserved(NOW + DAY + 1)), Ok(0));
    assert!(is_conflict(&network.ask_by(&later, Create)));
    assert_eq!(network.migration().phase, MigrationPhase::Aborted);
    assert_eq!(network.canisters.borrow().len(), 0);
    network.ask_by(&later, Reserve).unwrap().unwrap();
    assert_eq!((network.migration().id, network.migration().phase), (2, MigrationPhase::Reserved));
}

#[test]
fn owners_and_operators_may_ask_and_nobody_else() {
    for (step, _, _) in STEPS {
        let network = at(MigrationPhase::Reserved);
        for stranger in [by("bob"), access::Call { caller: candid::Principal::anonymous(), ..by("x") }] {
            let answer = network.ask_by(&stranger, step).unwrap();
            assert!(matches!(answer, Err(Error::Unauthorized(_))), "{step:?}: {answer:?}");
        }
        let answer = network.ask_by(&by("alice"), step).unwrap();
        assert!(!matches!(answer, Err(Error::Unauthorized(_))), "{step:?}: {answer:?}");
    }
}

#[test]
fn an_abort_brings_the_cycles_back_and_the_capsule_may_be_migrated_again() {
    for phase in [MigrationPhase::Created, MigrationPhase::Installed, MigrationPhase::Frozen] {
        let network = Network::new();
        let start = network.balance.get();
        network.reach(phase);
        network.ask(Abort).unwrap().unwrap();
        check_cycles(&network, start);
        let kept = 5_000_000_000;
        let migration = network.migration();
        assert_eq!(cycles(&migration.returned), cycles(&migration.endowment) - kept);
        assert_eq!(network.with(|hub| hub.migrations.reserved(NOW)), Ok(0));
        network.reach(MigrationPhase::CutOver);
        assert_eq!(network.migration().generation, if phase == MigrationPhase::Frozen { 2 } else { 1 });
    }
}

#[test]
fn a_hub_without_the_cycles_creates_nothing() {
    let network = Network::new();
    network.balance.set(1_000_000_000_000);
    assert!(matches!(network.ask(Reserve), Some(Err(Error::OutOfCycles { .. }))));
    let network = at(MigrationPhase::Reserved);
    network.balance.set(1_000_000_000_000);
    assert!(matches!(network.ask(Create), Some(Err(Error::OutOfCycles { .. }))));
    assert_eq!(network.migration().phase, MigrationPhase::Reserved);
    assert!(network.canisters.borrow().is_empty());
}

#[test]
fn a_quote_tells_the_whole_from_the_rest() {
    let network = Network::new();
    let quote = |present| {
        network.with(|hub| hub.quote(&operator(), &network.capsule, present, FEE, 10u128.pow(13))).unwrap()
    };
    let first = quote(0);
    assert_eq!(first.whole, first.rest);
    assert_eq!((first.whole.chunks, first.whole.bytes), (2, 2_000_000));
    assert!(first.feasible && cycles(&first.whole.cycles) > FEE);
    network.reach(MigrationPhase::Installed);
    let later = quote(1);
    assert_eq!(later.whole, first.whole);
    assert_eq!((later.rest.chunks, later.rest.bytes), (1, 1_000_000));
    assert!(cycles(&later.rest.cycles) < cycles(&first.whole.cycles) - FEE);
    network.reach_from_installed();
    let moved = quote(0);
    assert_eq!((moved.feasible, moved.rest.calls), (false, 0));
    assert_eq!(moved.whole, first.whole);
    assert!(cycles(&spent(&network.migration())) > FEE);
}

fn owners(network: &Network, by: &access::Call, owners: &[&str]) {
    let owners = owners.iter().map(|name| PersonRef::Principal(principal(name))).collect();
    let update = CapsuleUpdate { owners: Some(owners), controllers: None, settings: None };
    network.at_home(|store, _| store.capsules_update(by, &network.capsule, update)).unwrap();
}

fn controllers(network: &Network) -> BTreeSet<candid::Principal> {
    let canister = network.migration().canister_id.unwrap();
    network.canisters.borrow()[&canister].controllers.clone()
}

/// A capsule that has moved, and that nobody has consented to hand off.
fn moved() -> Network {
    let network = at(MigrationPhase::Installed);
    network.reach_from_installed();
    network
}

#[test]
fn the_owners_by_the_personal_canisters_records_hand_off_and_the_hubs_copy_says_nothing() {
    let network = moved();
    owners(&network, &by("alice"), &["bob"]);
    let answer = network.ask_by(&by("alice"), Handoff).unwrap();
    assert!(matches!(answer, Err(Error::Unauthorized(_))), "{answer:?}");
    assert!(matches!(network.consent(&by("alice"), &[principal("alice")]), Err(Error::Unauthorized(_))));
    assert!(is_conflict(&network.ask_by(&by("bob"), Handoff)), "nobody has consented");
    assert_eq!(controllers(&network), BTreeSet::from([HUB]));
    network.consent(&by("bob"), &[principal("bob"), principal("safe")]).unwrap();
    network.ask_by(&by("bob"), Handoff).unwrap().unwrap();
    assert_eq!(controllers(&network), BTreeSet::from([principal("bob"), principal("safe")]));
    network.ask_by(&by("safe"), Handoff).unwrap().unwrap();
    let answer = network.ask_by(&by("alice"), Handoff).unwrap();
    assert!(matches!(answer, Err(Error::Unauthorized(_))), "{answer:?}");
}

#[test]
fn an_operator_hands_off_to_whom_an_owner_has_named_and_to_nobody_without_that() {
    let network = moved();
    assert!(is_conflict(&network.ask(Handoff)));
    network.consent(&by("alice"), &[principal("other"), principal("alice")]).unwrap();
    network.consent(&by("alice"), &[principal("alice")]).unwrap();
    network.ask(Handoff).unwrap().unwrap();
    assert_eq!(controllers(&network), BTreeSet::from([principal("alice")]), "the newer one counts");
}

#[test]
fn a_consent_ends_with_its_day_and_with_its_owners() {
    let network = moved();
    owners(&network, &by("alice"), &["alice", "bob"]);
    let terms = |at| {
        let call = access::Call { caller: HUB, operator: false, at };
        network.at_home(|store, import| import.terms(store, &call, principal("bob"))).unwrap()
    };
    let given = network.consent(&by("bob"), &[principal("alice"), principal("safe")]).unwrap();
    assert_eq!((given.given_by, given.owners.clone()), (principal("bob"), vec![principal("alice")]));
    assert_eq!(terms(given.expires_at - 1), HandoffTerms { is_owner: true, consent: Some(given.clone()) });
    assert_eq!(terms(given.expires_at).consent, None);
    owners(&network, &by("alice"), &["alice"]);
    assert_eq!(terms(NOW), HandoffTerms { is_owner: false, consent: None });
    owners(&network, &by("alice"), &["alice", "bob"]);
    assert_eq!(terms(NOW).consent, None, "who comes back gives another one");
    network.consent(&by("bob"), &[principal("alice"), principal("safe")]).unwrap();
    owners(&network, &by("alice"), &["bob"]);
    assert_eq!(terms(NOW).consent, None, "a controller to be who was an owner is none any more");
    assert!(is_conflict(&network.ask(Handoff)));
}

#[test]
fn a_consent_names_controllers_that_can_be() {
    let network = moved();
    let many: Vec<_> = (0..11).map(|n| principal(&format!("alice{n}"))).collect();
    let alice = principal("alice");
    let cells: [&[candid::Principal]; 7] = [
        &[],
        &[principal("safe")],
        &[alice, alice],
        &[alice, candid::Principal::anonymous()],
        &[alice, candid::Principal::management_canister()],
        &[alice, HUB],
        &[&[alice], many.as_slice()].concat(),
    ];
    for named in cells {
        assert!(matches!(network.consent(&by("alice"), named), Err(Error::Invalid(_))), "{named:?}");
    }
    network.consent(&by("alice"), &[&[alice], &many[..9]].concat()).unwrap();
}

#[test]
fn owners_that_can_be_no_controllers_are_refused_where_they_are_set_and_named_in_the_quote() {
    let network = Network::new();
    let many: Vec<String> = (0..11).map(|n| format!("owner{n}")).collect();
    let named = |principal| PersonRef::Principal(principal);
    let cells = [
        many.iter().map(|name| named(principal(name))).collect(),
        vec![named(principal("alice")), named(candid::Principal::management_canister())],
        vec![named(principal("alice")), named(HUB)],
    ];
    for people in cells {
        let update = CapsuleUpdate { owners: Some(people.clone()), controllers: None, settings: None };
        let set = network.with(|hub| hub.store.capsules_update(&by("alice"), &network.capsule, update));
        assert!(matches!(set, Err(Error::Invalid(_))), "{set:?}");
        let quote = network.with(|hub| {
            let mut head: Capsule = hub.store.records.get(&network.capsule, &network.capsule).unwrap();
            head.owners = people
                .into_iter()
                .map(|person| OwnerState { person, since: NOW, last_activity_at: NOW })
                .collect();
            hub.store.put(&head).unwrap();
            hub.quote(&operator(), &network.capsule, 0, FEE, 10u128.pow(13)).unwrap()
        });
        assert!(!quote.feasible && quote.problems[0].contains("owners"), "{:?}", quote.problems);
        network.with(|hub| {
            let mut head: Capsule = hub.store.records.get(&network.capsule, &network.capsule).unwrap();
            head.owners =
                vec![OwnerState { person: named(principal("alice")), since: NOW, last_activity_at: NOW }];
            hub.store.put(&head).unwrap();
        });
    }
}

#[test]
fn a_controller_alone_has_the_hubs_copy_deleted_and_only_after_the_handoff() {
    use migration::factory::delete_copy;
    let network = moved();
    let delete = |call: &access::Call| run(delete_copy(&network, call, &network.capsule)).expect("an answer");
    assert!(matches!(delete(&by("alice")), Err(Error::Conflict(_))), "not handed off yet");
    network.consent(&by("alice"), &[principal("alice")]).unwrap();
    network.ask(Handoff).unwrap().unwrap();
    for other in [operator(), by("bob")] {
        assert!(matches!(delete(&other), Err(Error::Unauthorized(_))));
    }
    for _ in 0..2 {
        assert_eq!(delete(&by("alice")), Ok(()));
        assert_eq!(network.ask(Handoff), Some(Ok(())), "the record of the migration stays");
        assert_eq!(network.with(|hub| hub.store.records.total(&network.capsule).records), 0);
    }
}
