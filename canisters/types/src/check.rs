//! Checks of what callers hand in: each answers Invalid with the field and its bound.

use crate::limits::*;
use crate::media_type::MediaType;
use crate::*;
use candid::Principal;

fn invalid<T>(what: String) -> Answer<T> {
    Err(Error::Invalid(what))
}

/// An id: 1 to 64 bytes without control characters.
pub fn id(id: &str) -> Answer<()> {
    if id.is_empty() || id.len() > MAX_ID || id.chars().any(char::is_control) {
        return invalid(format!("an id has 1 to {MAX_ID} bytes and no control characters"));
    }
    Ok(())
}

/// A text of at most `most` bytes.
pub fn text(field: &str, text: &str, most: usize) -> Answer<()> {
    if text.len() > most {
        return invalid(format!("{field} has {} bytes; the most is {most}", text.len()));
    }
    Ok(())
}

pub fn maybe_text(field: &str, value: &Option<String>, most: usize) -> Answer<()> {
    value.as_deref().map_or(Ok(()), |value| text(field, value, most))
}

/// A list of at most `most` entries.
pub fn list<T>(field: &str, list: &[T], most: usize) -> Answer<()> {
    if list.len() > most {
        return invalid(format!("{field} has {} entries; the most is {most}", list.len()));
    }
    Ok(())
}

pub fn texts(field: &str, values: &[String]) -> Answer<()> {
    list(field, values, MAX_TAGS)?;
    values.iter().try_for_each(|value| text(field, value, MAX_SHORT_TEXT))
}

/// A person: not the anonymous principal; a name without control characters.
pub fn person(person: &PersonRef) -> Answer<()> {
    match person {
        PersonRef::Principal(principal) if *principal == Principal::anonymous() => {
            invalid("the anonymous principal is not a person".into())
        }
        PersonRef::Principal(_) => Ok(()),
        PersonRef::Opaque(name) if name.is_empty() || name.chars().any(char::is_control) => {
            invalid("a person's name is empty or has control characters".into())
        }
        PersonRef::Opaque(name) => text("person", name, MAX_SHORT_TEXT),
    }
}

/// Persons: each once.
pub fn persons(field: &str, persons: &[PersonRef], most: usize) -> Answer<()> {
    list(field, persons, most)?;
    persons.iter().try_for_each(person)?;
    let mut sorted: Vec<_> = persons.iter().collect();
    sorted.sort_unstable();
    if sorted.windows(2).any(|pair| pair[0] == pair[1]) {
        return invalid(format!("{field} names a person twice"));
    }
    Ok(())
}

/// Owners: persons, at least one; those with a principal can all be controllers of one canister.
pub fn owners(owners: &[PersonRef], hub: Principal) -> Answer<()> {
    persons("owners", owners, MAX_OWNERS)?;
    if owners.is_empty() {
        return invalid("a capsule has at least one owner".into());
    }
    let principals: Vec<Principal> = owners.iter().filter_map(principal_of).collect();
    principals.iter().try_for_each(|principal| controller(principal, hub))?;
    if principals.len() > MAX_CONTROLLERS {
        return invalid(format!(
            "{} owners have a principal; a canister has at most {MAX_CONTROLLERS} controllers",
            principals.len()
        ));
    }
    Ok(())
}

/// The controllers of a personal canister to be: 1 to MAX_CONTROLLERS, each once.
pub fn controllers(controllers: &[Principal], hub: Principal) -> Answer<()> {
    list("controllers", controllers, MAX_CONTROLLERS)?;
    if controllers.is_empty() {
        return invalid("a canister has at least one controller".into());
    }
    controllers.iter().try_for_each(|principal| controller(principal, hub))?;
    let mut sorted = controllers.to_vec();
    sorted.sort_unstable();
    if sorted.windows(2).any(|pair| pair[0] == pair[1]) {
        return invalid("controllers names a principal twice".into());
    }
    Ok(())
}

/// Somebody who can control a personal canister: a principal that signs calls, and not the hub.
fn controller(principal: &Principal, hub: Principal) -> Answer<()> {
    if *principal == Principal::anonymous() || *principal == Principal::management_canister() {
        return invalid(format!("{principal} is nobody: it cannot own or control a canister"));
    }
    if *principal == hub {
        return invalid(format!("{principal} is the hub: it cannot own a capsule or keep its canister"));
    }
    Ok(())
}

/// The principal of a person who has one.
pub fn principal_of(person: &PersonRef) -> Option<Principal> {
    match person {
        PersonRef::Principal(principal) => Some(*principal),
        PersonRef::Opaque(_) => None,
    }
}

/// A text that may go into an HTTP header as it is: printable ASCII.
pub fn header_text(field: &str, value: &str, most: usize) -> Answer<()> {
    text(field, value, most)?;
    if !value.bytes().all(|byte| (0x20..0x7f).contains(&byte)) {
        return invalid(format!("{field} has characters other than printable ASCII"));
    }
    Ok(())
}

/// A media type: `type/subtype`, and at most a charset.
pub fn media_type(field: &str, value: &str) -> Answer<()> {
    text(field, value, MAX_SHORT_TEXT)?;
    match MediaType::parse(value) {
        Some(_) => Ok(()),
        None => invalid(format!("{field} is no media type: type/subtype, or with ; charset=name behind it")),
    }
}

/// A SHA-256 digest.
pub fn digest(bytes: &[u8]) -> Answer<Digest> {
    bytes.try_into().map_err(|_| Error::Invalid(format!("a SHA-256 has 32 bytes, not {}", bytes.len())))
}

/// How many items a page has: 1 to MAX_PAGE; more is answered as MAX_PAGE.
pub fn limit(limit: u32) -> Answer<usize> {
    if limit == 0 {
        return invalid("a page has at least one item".into());
    }
    Ok(limit.min(MAX_PAGE) as usize)
}

pub fn settings(settings: &CapsuleSettings) -> Answer<()> {
    let hosting = &settings.hosting;
    for (field, value) in [
        ("frontend", &hosting.frontend),
        ("backend", &hosting.backend),
        ("database", &hosting.database),
        ("blobs", &hosting.blobs),
    ] {
        text(field, value, MAX_SHORT_TEXT)?;
    }
    texts("triggered_events", &settings.triggered_events)
}

pub fn metadata(metadata: &MemoryMetadata) -> Answer<()> {
    maybe_text("title", &metadata.title, MAX_SHORT_TEXT)?;
    maybe_text("description", &metadata.description, MAX_LONG_TEXT)?;
    header_text("content_type", &metadata.content_type, MAX_SHORT_TEXT)?;
    texts("tags", &metadata.tags)?;
    texts("people", &metadata.people)?;
    maybe_text("location", &metadata.location, MAX_LONG_TEXT)?;
    maybe_text("notes", &metadata.notes, MAX_LONG_TEXT)
}

pub fn assets(assets: &[Asset]) -> Answer<()> {
    list("assets", assets, MAX_ASSETS)?;
    for (position, asset) in assets.iter().enumerate() {
        if assets[..position].iter().any(|other| other.variant_ == asset.variant_) {
            return invalid(format!("two assets are the variant {:?}", asset.variant_));
        }
        if let AssetVariant::Other(name) = &asset.variant_ {
            id(name)?;
        }
        text("name", &asset.name, MAX_SHORT_TEXT)?;
        maybe_text("description", &asset.description, MAX_LONG_TEXT)?;
        media_type("mime_type", &asset.mime_type)?;
        texts("tags", &asset.tags)?;
        detail(&asset.detail)?;
        location(&asset.location)?;
    }
    Ok(())
}

fn detail(detail: &AssetDetail) -> Answer<()> {
    let texts = match detail {
        AssetDetail::Image { color_space, exif, .. } => [color_space, exif],
        AssetDetail::Video { codec, .. } | AssetDetail::Audio { codec, .. } => [codec, &None],
        AssetDetail::Document { language, .. } => [language, &None],
        AssetDetail::Note { format, language, .. } => [format, language],
    };
    texts.into_iter().try_for_each(|value| maybe_text("detail", value, MAX_LONG_TEXT))
}

fn location(location: &AssetLocation) -> Answer<()> {
    match location {
        AssetLocation::Inline(bytes) if bytes.len() > MAX_INLINE => {
            invalid(format!("an inline asset of {} bytes; the most is {MAX_INLINE}", bytes.len()))
        }
        AssetLocation::Inline(_) => Ok(()),
        AssetLocation::Internal { sha256, .. } => digest(sha256).map(drop),
        AssetLocation::External { url, sha256, .. } => {
            header_text("url", url, MAX_URL)?;
            if !url.contains("://") || url.contains(' ') {
                return invalid("an external asset has an absolute URL".into());
            }
            sha256.as_ref().map_or(Ok(()), |sha256| digest(sha256).map(drop))
        }
    }
}
