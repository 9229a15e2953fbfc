//! The rules of access as tables; nothing here looks anything up.

use types::{AccessCondition, RecordKind, Role, Time};

pub const VIEW: u32 = 1;
pub const DOWNLOAD: u32 = 2;
pub const SHARE: u32 = 4;
pub const MANAGE: u32 = 8;
pub const OWN: u32 = 16;
/// What an owner of the capsule has on everything in it.
pub const OWNER: u32 = VIEW | DOWNLOAD | SHARE | MANAGE | OWN;
/// What a controller of the capsule has on everything in it.
pub const CONTROLLER: u32 = VIEW | DOWNLOAD | SHARE | MANAGE;
/// The most that everybody can be granted.
pub const PUBLIC: u32 = VIEW | DOWNLOAD;

/// What is done with a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    Read,
    Create,
    Change,
    Delete,
}

/// On which resource a permission is needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// The memory, folder or gallery itself.
    Itself,
    /// The folder it lies in, or the capsule where it lies in none.
    Parent,
    /// The resource that an access entry is about.
    Target,
    Capsule,
}

type Rule = (RecordKind, [(Place, u32); 4]);

/// For each kind of record: the place and the permission that Read, Create, Change and Delete need.
///
/// Who is granted something by an access entry may also read that entry; owners and controllers of
/// a capsule change only with OWN. A blob is created by an upload; that it is read by the
/// downloaders of a memory that uses it, too, is added where blobs are read.
#[rustfmt::skip]
pub const RULES: [Rule; 8] = [
    //                         Read                       Create                     Change                     Delete
    (RecordKind::Capsule,     [(Place::Capsule, VIEW),    (Place::Capsule, OWN),     (Place::Capsule, MANAGE),  (Place::Capsule, OWN)]),
    (RecordKind::Memory,      [(Place::Itself,  VIEW),    (Place::Parent,  MANAGE),  (Place::Itself,  MANAGE),  (Place::Itself,  MANAGE)]),
    (RecordKind::Folder,      [(Place::Itself,  VIEW),    (Place::Parent,  MANAGE),  (Place::Itself,  MANAGE),  (Place::Itself,  MANAGE)]),
    (RecordKind::Gallery,     [(Place::Itself,  VIEW),    (Place::Capsule, MANAGE),  (Place::Itself,  MANAGE),  (Place::Itself,  MANAGE)]),
    (RecordKind::AccessEntry, [(Place::Target,  MANAGE),  (Place::Target,  SHARE),   (Place::Target,  MANAGE),  (Place::Target,  MANAGE)]),
    (RecordKind::Connection,  [(Place::Capsule, MANAGE),  (Place::Capsule, MANAGE),  (Place::Capsule, MANAGE),  (Place::Capsule, MANAGE)]),
    (RecordKind::Group,       [(Place::Capsule, MANAGE),  (Place::Capsule, MANAGE),  (Place::Capsule, MANAGE),  (Place::Capsule, MANAGE)]),
    (RecordKind::Blob,        [(Place::Capsule, MANAGE),  (Place::Capsule, MANAGE),  (Place::Capsule, MANAGE),  (Place::Capsule, MANAGE)]),
];

/// What an action needs, and where.
pub fn rule(kind: RecordKind, action: Action) -> (Place, u32) {
    RULES[kind as usize].1[action as usize]
}

/// The most that an entry of this role grants, whatever its mask says.
pub const CEILINGS: [(Role, u32); 5] = [
    (Role::Owner, OWNER),
    (Role::SuperAdmin, VIEW | DOWNLOAD | SHARE | MANAGE),
    (Role::Admin, VIEW | DOWNLOAD | SHARE | MANAGE),
    (Role::Member, VIEW | DOWNLOAD | SHARE),
    (Role::Guest, VIEW | DOWNLOAD),
];

pub fn ceiling(role: Role) -> u32 {
    CEILINGS[role as usize].1
}

/// The most that somebody with these permissions on a resource may grant there.
pub fn grantable(own: u32) -> u32 {
    if own & OWN != 0 {
        OWNER
    } else if own & MANAGE != 0 {
        CONTROLLER
    } else if own & SHARE != 0 {
        own & (VIEW | DOWNLOAD | SHARE)
    } else {
        0
    }
}

/// Whether a condition is met at a time, given the events that have happened.
pub fn is_met(condition: &AccessCondition, at: Time, happened: &[String]) -> bool {
    match condition {
        AccessCondition::Immediate => true,
        AccessCondition::Scheduled { accessible_after } => at >= *accessible_after,
        AccessCondition::ExpiresAt { expires } => at < *expires,
        AccessCondition::EventTriggered { event } => happened.contains(event),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tables_are_in_the_order_of_their_enums() {
        for (position, (kind, _)) in RULES.iter().enumerate() {
            assert_eq!(position, *kind as usize);
        }
        for (position, (role, _)) in CEILINGS.iter().enumerate() {
            assert_eq!(position, *role as usize);
        }
        assert_eq!((Action::Read as usize, Action::Delete as usize), (0, 3));
    }

    #[test]
    fn nobody_grants_more_than_the_table_says() {
        let cells = [
            (0, 0),
            (VIEW, 0),
            (VIEW | DOWNLOAD, 0),
            (SHARE, SHARE),
            (VIEW | SHARE, VIEW | SHARE),
            (VIEW | DOWNLOAD | SHARE, VIEW | DOWNLOAD | SHARE),
            (MANAGE, CONTROLLER),
            (CONTROLLER, CONTROLLER),
            (OWN, OWNER),
            (OWNER, OWNER),
        ];
        for (own, most) in cells {
            assert_eq!(grantable(own), most, "own {own}");
        }
    }

    #[test]
    fn conditions_hold_from_and_until_their_time() {
        let happened = vec!["wedding".to_string()];
        let cells = [
            (AccessCondition::Immediate, true, true, true),
            (AccessCondition::Scheduled { accessible_after: 10 }, false, true, true),
            (AccessCondition::ExpiresAt { expires: 10 }, true, false, false),
            (AccessCondition::EventTriggered { event: "wedding".into() }, true, true, true),
            (AccessCondition::EventTriggered { event: "funeral".into() }, false, false, false),
        ];
        for (condition, before, then, after) in cells {
            let seen = [9, 10, 11].map(|at| is_met(&condition, at, &happened));
            assert_eq!(seen, [before, then, after], "{condition:?}");
        }
    }
}
