//! Bounds, as numbers, of everything that comes from outside.

/// A blob is cut into chunks of this many bytes; the last one may be shorter.
pub const CHUNK_SIZE: u64 = 1_900_000;
/// Longest blob, in bytes.
pub const MAX_BLOB_LENGTH: u64 = 64 << 30;
/// Longest bytes of an inline asset.
pub const MAX_INLINE: usize = 32 << 10;

/// Longest id of a capsule or a record, in bytes.
pub const MAX_ID: usize = 64;
/// Longest name, title, tag, or name of a person, in bytes.
pub const MAX_SHORT_TEXT: usize = 512;
/// Longest description, note, caption or metadata text, in bytes.
pub const MAX_LONG_TEXT: usize = 16 << 10;
/// Longest URL, in bytes.
pub const MAX_URL: usize = 2_048;

/// Most entries in a list of tags, people or triggered events.
pub const MAX_TAGS: usize = 256;
/// Most assets of one memory.
pub const MAX_ASSETS: usize = 16;
/// Most items of one gallery.
pub const MAX_GALLERY_ITEMS: usize = 2_000;
/// Most members of one group.
pub const MAX_MEMBERS: usize = 1_000;
/// Most owners, and most controllers, of one capsule.
pub const MAX_OWNERS: usize = 32;
/// Most controllers that a canister can have, and so most owners of one capsule with a principal.
pub const MAX_CONTROLLERS: usize = 10;
/// How long an owner's consent to the hand-off is valid, in nanoseconds: a day.
pub const CONSENT_VALID: u64 = 24 * 60 * 60 * 1_000_000_000;
/// Most operators.
pub const MAX_OPERATORS: usize = 64;
/// Most folders above a memory or folder.
pub const MAX_FOLDERS_UP: usize = 256;
/// Most access entries on one resource.
pub const MAX_ENTRIES: usize = 1_000;
/// Most grants in a row of which each was made by virtue of the one before.
pub const MAX_DERIVED: u8 = 8;
/// Most bytes of one canonical record.
pub const MAX_RECORD: usize = 1 << 20;

/// Most items on a page of any list.
pub const MAX_PAGE: u32 = 1_000;
/// Most bytes on a page: an answer stays below the 2 MiB of a replicated reply.
pub const MAX_PAGE_BYTES: usize = 1_800_000;
/// Most uploads in progress of one capsule.
pub const MAX_UPLOADS: u32 = 256;
/// An upload that has got no chunk for longer than this expires, in nanoseconds: 7 days.
pub const UPLOAD_EXPIRES: u64 = 7 * 24 * 60 * 60 * 1_000_000_000;
/// An upload that is unfinished for longer than this makes room for another, in nanoseconds: an hour.
pub const UPLOAD_YIELDS: u64 = 60 * 60 * 1_000_000_000;
/// Longest validity of an asset token, in seconds: what somebody who manages the asset may ask for.
pub const MAX_TOKEN_SECONDS: u64 = 30 * 24 * 60 * 60;
/// Longest validity of a token that somebody else makes, by what is granted to them.
pub const MAX_GUEST_TOKEN_SECONDS: u64 = 24 * 60 * 60;
/// Longest validity of a token that somebody makes as an operator.
pub const MAX_OPERATOR_TOKEN_SECONDS: u64 = 15 * 60;
/// Most memories of one capsule whose tokens are revoked one by one.
pub const MAX_REVOKED_MEMORIES: usize = 1_000;
/// Most tokens asked for at once.
pub const MAX_TOKENS: usize = 500;
