use super::*;
use std::fmt::Write;

/// The tables as text: docs/phases.md.
fn document() -> String {
    let mut text = String::from(INTRODUCTION);
    let phases = PHASES.map(|(phase, _)| format!("{phase:?}"));
    let yes = |is: bool| if is { "yes" } else { "" }.to_string();
    let phase_rows = PHASES.map(|(phase, meaning)| {
        let Meaning { is_active, keeps_budget, is_frozen } = meaning;
        let truths = [is_active, keeps_budget, is_frozen, can_abort(phase)].map(yes);
        [vec![format!("{phase:?}")], truths.to_vec()].concat()
    });
    table(&mut text, "Phases", &["phase", "active", "keeps budget", "frozen", "can be aborted"], &phase_rows);
    let mut header: Vec<&str> = vec!["step", "who may"];
    header.extend(phases.iter().map(String::as_str));
    let step_rows = STEPS.map(|(step, parties, cells)| {
        let who: Vec<String> = parties.iter().map(|party| name_of(*party).to_string()).collect();
        let cells = cells.map(|cell| match cell {
            Do => "does",
            Done => "done",
            No => "",
        });
        [vec![format!("{step:?}"), who.join(", ")], cells.map(String::from).to_vec()].concat()
    });
    table(&mut text, "Steps", &header, &step_rows);
    header[0] = "event";
    header[1] = "recorded";
    let event_rows = EVENTS.map(|(event, recorded, cells)| {
        let when = match recorded {
            Before => "before its effect",
            After => "after its effect",
            Together => "together with it",
        };
        let cells = cells.map(|next| next.map_or(String::new(), |next| format!("{next:?}")));
        [vec![format!("{event:?}"), when.into()], cells.to_vec()].concat()
    });
    table(&mut text, "Events", &header, &event_rows);
    text
}

fn name_of(party: Party) -> &'static str {
    match party {
        Party::Operator => "operator",
        Party::Owner => "owner",
        Party::OwnerAtHome => "owner at home",
    }
}

const INTRODUCTION: &str = "\
# The phases of a migration

Written out from `canisters/migration/src/phases.rs` by its test, which fails where the two differ; with
`UPDATE_DOCS=1` it writes this file again.

A phase is **active** while the capsule is taken: there is no other migration of it, and it is not deleted. It
**keeps its budget** while what the hub has not spent of it stays set aside, and is **frozen** while the capsule is
read-only in the hub. A step **does** its work, answers that it was **done** before, or is refused as a Conflict. An
event leads to the phase in its cell; where there is none it does not happen. A capsule that has moved is not reserved
again: the registry says so.

An **owner at home** is one by the records of the capsule's home at that moment: after the cut-over the hub asks the
personal canister, and once that is handed off its controllers count. Handoff sets the controllers that an owner has
consented to, in a call to the personal canister (`handoff_consent`), and no others.
";

fn table(text: &mut String, title: &str, header: &[&str], rows: &[Vec<String>]) {
    let line = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
    let header: Vec<String> = header.iter().map(|cell| cell.to_string()).collect();
    write!(text, "\n## {title}\n{}{}\n", line(&header), "|---".repeat(header.len()) + "|").unwrap();
    rows.iter().for_each(|row| text.push_str(&line(row)));
}

#[test]
fn the_document_says_what_the_tables_say() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/phases.md");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(path, document()).unwrap();
    }
    let written = std::fs::read_to_string(path).unwrap_or_default();
    assert!(written == document(), "docs/phases.md differs: run this test with UPDATE_DOCS=1");
}

#[test]
fn the_tables_are_in_the_order_of_their_enums() {
    assert!(PHASES.iter().enumerate().all(|(at, (phase, _))| at == *phase as usize));
    assert!(STEPS.iter().enumerate().all(|(at, (step, ..))| at == *step as usize));
    assert!(EVENTS.iter().enumerate().all(|(at, (event, ..))| at == *event as usize));
}

/// Every cell of the three tables: what one says of a phase, the others bear out.
#[test]
fn the_tables_agree_with_each_other() {
    for (phase, meaning) in PHASES {
        assert!(meaning.is_active || !meaning.keeps_budget && !meaning.is_frozen, "{phase:?} is over");
        assert!(
            !can_abort(phase) || meaning.keeps_budget,
            "{phase:?}: what can be undone is not paid for yet"
        );
        assert_eq!(meaning.is_active, cell(MigrationStep::Reserve, phase) != Do, "{phase:?}: one at a time");
        for (event, _, _) in EVENTS {
            let Some(behind) = next(event, phase) else { continue };
            let (before, after) = (meaning, meaning_of(behind));
            assert!(before.is_active || !after.is_active, "{event:?} in {phase:?} takes a capsule again");
            assert!(
                before.keeps_budget || !after.keeps_budget,
                "{event:?} in {phase:?} sets cycles aside again"
            );
            let freezes = event == EventKind::CapsuleFrozen;
            assert_eq!(!before.is_frozen && after.is_frozen, freezes, "{event:?} in {phase:?}");
        }
        for (step, _, _) in STEPS {
            let events = events_of(step);
            let leads_on = events.iter().any(|event| next(*event, phase).is_some());
            assert_eq!(cell(step, phase) == Do, leads_on || is_first(step, phase), "{step:?} in {phase:?}");
        }
    }
}

/// The events that a step can begin with.
fn events_of(step: MigrationStep) -> &'static [EventKind] {
    match step {
        MigrationStep::Reserve => &[],
        MigrationStep::Create => &[EventKind::CanisterRequested],
        MigrationStep::Install => &[EventKind::ModuleInstalled],
        MigrationStep::Freeze => &[EventKind::CapsuleFrozen],
        MigrationStep::Thaw => &[EventKind::CapsuleThawed],
        MigrationStep::BuildManifest => &[EventKind::ManifestBuilt],
        MigrationStep::CutOver => &[EventKind::CapsuleMoved],
        MigrationStep::Abort => &[EventKind::CapsuleThawed, EventKind::Aborted],
        MigrationStep::Handoff => &[EventKind::HandedOff],
    }
}

/// A new record takes the place of one that is over.
fn is_first(step: MigrationStep, phase: MigrationPhase) -> bool {
    step == MigrationStep::Reserve && !meaning_of(phase).is_active
}
