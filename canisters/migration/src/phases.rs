//! The phases of a migration as tables: what each means, which step and which event fits where.
//!
//! The hub, its records and its interface follow these tables; `docs/phases.md` shows them.

use types::MigrationPhase::{self, *};
use types::MigrationStep;
use Cell::{Do, Done, No};
use Recorded::{After, Before, Together};

/// What is true of a capsule while its newest migration is in a phase.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Meaning {
    /// The capsule is taken: there is no other migration of it, and it is not deleted.
    pub is_active: bool,
    /// What is left of the budget stays set aside.
    pub keeps_budget: bool,
    /// The capsule is read-only in the hub.
    pub is_frozen: bool,
}

const fn meaning(is_active: bool, keeps_budget: bool, is_frozen: bool) -> Meaning {
    Meaning { is_active, keeps_budget, is_frozen }
}

#[rustfmt::skip]
pub const PHASES: [(MigrationPhase, Meaning); 8] = [
    //                   active keeps budget  frozen
    (Reserved,  meaning(true,  true,         false)),
    (Creating,  meaning(true,  true,         false)),
    (Created,   meaning(true,  true,         false)),
    (Installed, meaning(true,  true,         false)),
    (Frozen,    meaning(true,  true,         true)),
    (CutOver,   meaning(true,  false,        false)),
    (HandedOff, meaning(false, false,        false)),
    (Aborted,   meaning(false, false,        false)),
];

pub fn meaning_of(phase: MigrationPhase) -> Meaning {
    PHASES[phase as usize].1
}

/// What a step does when it is asked for in a phase.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cell {
    Do,
    /// It was done before: the answer says so, and nothing changes.
    Done,
    /// Conflict.
    No,
}

/// Who may ask for a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Party {
    /// Of the hub.
    Operator,
    /// Of the capsule, by the hub's records.
    Owner,
    /// Of the capsule, by the records of its home: after the cut-over that is the personal canister.
    OwnerAtHome,
}

const EITHER: &[Party] = &[Party::Operator, Party::Owner];
const AT_HOME: &[Party] = &[Party::Operator, Party::OwnerAtHome];

type Steps = (MigrationStep, &'static [Party], [Cell; 8]);

/// For each step: who may ask for it, and what it does in which phase.
#[rustfmt::skip]
pub const STEPS: [Steps; 9] = [
    //                                      Reserved Creating Created Installed Frozen CutOver HandedOff Aborted
    (MigrationStep::Reserve,       EITHER, [Done,    Done,    Done,   Done,     Done,  No,     Do,       Do]),
    (MigrationStep::Create,        EITHER, [Do,      No,      Done,   Done,     Done,  Done,   Done,     No]),
    (MigrationStep::Install,       EITHER, [No,      No,      Do,     Do,       Done,  Done,   Done,     No]),
    (MigrationStep::Freeze,        EITHER, [No,      No,      No,     Do,       Done,  No,     No,       No]),
    (MigrationStep::Thaw,          EITHER, [No,      No,      No,     Done,     Do,    No,     No,       No]),
    (MigrationStep::BuildManifest, EITHER, [No,      No,      No,     No,       Do,    Done,   Done,     No]),
    (MigrationStep::CutOver,       EITHER, [No,      No,      No,     No,       Do,    Done,   Done,     No]),
    (MigrationStep::Abort,         EITHER, [Do,      Do,      Do,     Do,       Do,    No,     No,       Done]),
    (MigrationStep::Handoff,       AT_HOME,[No,      No,      No,     No,       No,    Do,     Done,     No]),
];

/// What a step does in a phase.
pub fn cell(step: MigrationStep, phase: MigrationPhase) -> Cell {
    STEPS[step as usize].2[phase as usize]
}

/// Who may ask for a step.
pub fn parties(step: MigrationStep) -> &'static [Party] {
    STEPS[step as usize].1
}

/// Whether everything that was done so far can be undone.
pub fn can_abort(phase: MigrationPhase) -> bool {
    cell(MigrationStep::Abort, phase) == Do
}

/// When an event is written down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recorded {
    /// Before its effect is asked for: it cannot be undone.
    Before,
    /// At once after the answer about its effect.
    After,
    /// In the message that has the effect.
    Together,
}

/// What happens to a migration, without its particulars: see [`crate::migrations::Event`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventKind {
    CanisterRequested,
    CreationRefused,
    CanisterCreated,
    ModuleInstalled,
    CapsuleFrozen,
    CapsuleThawed,
    ManifestBuilt,
    CapsuleMoved,
    HandedOff,
    CyclesSpent,
    CyclesReturned,
    Aborted,
}

const __: Option<MigrationPhase> = None;

const fn to(phase: MigrationPhase) -> Option<MigrationPhase> {
    Some(phase)
}

type Events = (EventKind, Recorded, [Option<MigrationPhase>; 8]);

const ANY: [Option<MigrationPhase>; 8] = [
    to(Reserved),
    to(Creating),
    to(Created),
    to(Installed),
    to(Frozen),
    to(CutOver),
    to(HandedOff),
    to(Aborted),
];

/// For each event: when it is written down, and the phase behind it in each phase where it fits.
#[rustfmt::skip]
pub const EVENTS: [Events; 12] = [
    //                                        Reserved      Creating      Created        Installed      Frozen         CutOver        HandedOff Aborted
    (EventKind::CanisterRequested, Before,   [to(Creating), __,           __,            __,            __,            __,            __,       __]),
    (EventKind::CreationRefused,   After,    [__,           to(Reserved), __,            __,            __,            __,            __,       __]),
    (EventKind::CanisterCreated,   After,    [__,           to(Created),  __,            __,            __,            __,            __,       __]),
    (EventKind::ModuleInstalled,   After,    [__,           __,           to(Installed), to(Installed), __,            __,            __,       __]),
    (EventKind::CapsuleFrozen,     Together, [__,           __,           __,            to(Frozen),    __,            __,            __,       __]),
    (EventKind::CapsuleThawed,     Together, [__,           __,           __,            __,            to(Installed), __,            __,       __]),
    (EventKind::ManifestBuilt,     Together, [__,           __,           __,            __,            to(Frozen),    __,            __,       __]),
    (EventKind::CapsuleMoved,      Together, [__,           __,           __,            __,            to(CutOver),   __,            __,       __]),
    (EventKind::HandedOff,         After,    [__,           __,           __,            __,            __,            to(HandedOff), __,       __]),
    (EventKind::CyclesSpent,       After,    ANY),
    (EventKind::CyclesReturned,    After,    ANY),
    (EventKind::Aborted,           After,    [to(Aborted),  to(Aborted),  to(Aborted),   to(Aborted),   __,            __,            __,       __]),
];

/// The phase behind an event; None where it does not fit.
pub fn next(event: EventKind, phase: MigrationPhase) -> Option<MigrationPhase> {
    EVENTS[event as usize].2[phase as usize]
}

#[cfg(test)]
mod tests;
