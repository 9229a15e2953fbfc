//! The reach of a person: the resources on which they are granted something by name.
//!
//! Read from the index, resource by resource: the work depends on the page, not on how many
//! capsules there are. What everybody has is not listed.

use super::Access;
use crate::{Grantee, Grants};
use types::*;

/// The resources behind `after`, with the effective permission at the time `at`; at most
/// `limit` are looked at, and those without a permission at that time are left out.
pub fn reach<G: Grants>(
    grants: &G,
    person: &PersonRef,
    after: Option<&Reach>,
    limit: usize,
    at: Time,
) -> Answer<Page<Reach, Reach>> {
    let mut items = Vec::new();
    let mut last = after.cloned();
    for _ in 0..limit {
        let place = last.as_ref().map(|reach| (reach.capsule_id.as_str(), &reach.resource));
        let Some((capsule_id, resource)) = next_reached(grants, person, place) else {
            return Ok(Page { items, next: None });
        };
        let permissions = match Access::new(grants, &capsule_id, at) {
            Ok(access) => match access.effective(Some(person), &resource) {
                Err(Error::NotFound(_)) => 0,
                other => other?,
            },
            Err(Error::NotFound(_)) => 0,
            Err(error) => return Err(error),
        };
        let reach = Reach { capsule_id, resource, permissions };
        if permissions != 0 {
            items.push(reach.clone());
        }
        last = Some(reach);
    }
    let more = last.as_ref().map(|reach| (reach.capsule_id.as_str(), &reach.resource));
    let next = next_reached(grants, person, more).and(last);
    Ok(Page { items, next })
}

fn next_reached<G: Grants>(
    grants: &G,
    person: &PersonRef,
    after: Option<(&str, &Resource)>,
) -> Option<(String, Resource)> {
    if let Some((capsule, resource)) = after {
        if let Some(resource) = next_in_capsule(grants, person, capsule, Some(resource)) {
            return Some((capsule.into(), resource));
        }
    }
    // ids have no control characters: this is behind `capsule` and before every other id
    let mut from = after.map(|(capsule, _)| format!("{capsule}\u{1}")).unwrap_or_default();
    loop {
        let capsule = grants.capsule_reached(person, &from)?;
        if let Some(resource) = next_in_capsule(grants, person, &capsule, None) {
            return Some((capsule, resource));
        }
        from = format!("{capsule}\u{1}");
    }
}

fn next_in_capsule<G: Grants>(
    grants: &G,
    person: &PersonRef,
    capsule: &str,
    after: Option<&Resource>,
) -> Option<Resource> {
    let groups = grants.groups_of(person, capsule).into_iter().map(Grantee::Group);
    [Grantee::Person(person.clone())]
        .into_iter()
        .chain(groups)
        .filter_map(|grantee| grants.resource_granted(&grantee, capsule, after))
        .min()
}
