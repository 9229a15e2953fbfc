//! The format of asset tokens: whoever has one may fetch one asset over HTTP until it expires, or until
//! whoever made it may not view the asset any more.
//!
//! ```text
//! token    URL-safe base64 without padding of  payload, HMAC-SHA256(secret, "icmigrate:asset-token", payload)
//! payload  version u8 = 2, permissions u8, expiry u64 (seconds since 1970), revocations u32, minter's kind u8,
//!          minter's principal, capsule id, memory id, variant name: each as length u8 and bytes
//! kind     0 by a right of their own, 1 as an operator; numbers are big-endian
//! ```
//!
//! `revocations` is how often tokens of the capsule had been revoked. The secret is 32 random bytes of the
//! canister that the capsule lives in: see `Registration`.

use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use base64::Engine;
use candid::Principal;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

const VERSION: u8 = 2;
const CONTEXT: &[u8] = b"icmigrate:asset-token";
const MAC_LENGTH: usize = 32;
/// Longest token, in characters: no work is spent on longer ones.
const MAX_LENGTH: usize = 1_200;

/// By what right somebody made a token. It is asked for again whenever the token is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Minter {
    /// What access entries, or owning or controlling the capsule, give this principal.
    Person(Principal),
    /// Being an operator of the canister.
    Operator(Principal),
}

/// What a token is good for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scope {
    pub capsule: String,
    pub memory: String,
    /// Name of the variant in the URL.
    pub variant: String,
    /// Mask of permissions.
    pub permissions: u8,
    /// Seconds since 1970-01-01 from which on it is worth nothing.
    pub expires: u64,
    /// How often tokens of the capsule had been revoked.
    pub revocations: u32,
    pub minter: Minter,
}

/// Why a token is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenError {
    /// Not a token of this version.
    Malformed,
    /// Signed with another secret, or changed.
    WrongSignature,
    Expired,
    /// Of another asset, or without the permission.
    WrongScope,
}

/// Makes a token. None when a name is longer than 255 bytes.
pub fn mint(secret: &[u8], scope: &Scope) -> Option<String> {
    let mut bytes = vec![VERSION, scope.permissions];
    bytes.extend(scope.expires.to_be_bytes());
    bytes.extend(scope.revocations.to_be_bytes());
    let (kind, principal) = match &scope.minter {
        Minter::Person(principal) => (0, principal),
        Minter::Operator(principal) => (1, principal),
    };
    bytes.push(kind);
    let names = [&scope.capsule, &scope.memory, &scope.variant].map(|name| name.as_bytes());
    for field in [principal.as_slice()].into_iter().chain(names) {
        bytes.push(u8::try_from(field.len()).ok()?);
        bytes.extend(field);
    }
    let tag = mac(secret, &bytes).finalize().into_bytes();
    bytes.extend(tag);
    Some(URL_SAFE_NO_PAD.encode(bytes))
}

/// What a token claims, unchecked: good for finding the capsule whose secret decides.
pub fn claims(token: &str) -> Result<Scope, TokenError> {
    parse(token).map(|(scope, _)| scope)
}

/// Checks a token against an asset and a permission at a time (seconds since 1970-01-01).
/// The signature is compared in constant time, and before anything else is told.
pub fn verify(
    secret: &[u8],
    token: &str,
    memory: &str,
    variant: &str,
    permission: u8,
    now: u64,
) -> Result<Scope, TokenError> {
    let (scope, bytes) = parse(token)?;
    let (payload, tag) = bytes.split_at(bytes.len() - MAC_LENGTH);
    mac(secret, payload).verify_slice(tag).map_err(|_| TokenError::WrongSignature)?;
    if now >= scope.expires {
        return Err(TokenError::Expired);
    }
    if scope.memory != memory || scope.variant != variant || scope.permissions & permission != permission {
        return Err(TokenError::WrongScope);
    }
    Ok(scope)
}

fn mac(secret: &[u8], payload: &[u8]) -> Hmac<Sha256> {
    Hmac::<Sha256>::new_from_slice(secret)
        .expect("HMAC takes keys of any length")
        .chain_update(CONTEXT)
        .chain_update(payload)
}

fn parse(token: &str) -> Result<(Scope, Vec<u8>), TokenError> {
    if token.len() > MAX_LENGTH {
        return Err(TokenError::Malformed);
    }
    let bytes = URL_SAFE_NO_PAD.decode(token).map_err(|_| TokenError::Malformed)?;
    let payload = bytes.len().checked_sub(MAC_LENGTH).and_then(|end| bytes.get(..end));
    let scope = payload.and_then(parse_payload).ok_or(TokenError::Malformed)?;
    Ok((scope, bytes))
}

fn parse_payload(payload: &[u8]) -> Option<Scope> {
    let ([version, permissions], rest) = payload.split_first_chunk()?;
    let (expires, rest) = rest.split_first_chunk()?;
    let (revocations, rest) = rest.split_first_chunk()?;
    let (kind, mut rest) = rest.split_first()?;
    let mut field = || {
        let (&length, tail) = rest.split_first()?;
        let (field, tail) = tail.split_at_checked(length.into())?;
        rest = tail;
        Some(field.to_vec())
    };
    let principal = Principal::try_from(field()?).ok()?;
    let minter = match kind {
        0 => Minter::Person(principal),
        1 => Minter::Operator(principal),
        _ => return None,
    };
    let mut name = || String::from_utf8(field()?).ok();
    let (capsule, memory, variant) = (name()?, name()?, name()?);
    (*version == VERSION && rest.is_empty()).then_some(Scope {
        capsule,
        memory,
        variant,
        permissions: *permissions,
        expires: u64::from_be_bytes(*expires),
        revocations: u32::from_be_bytes(*revocations),
        minter,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SECRET: [u8; 32] = [3; 32];

    fn scope() -> Scope {
        Scope {
            capsule: "capsule".into(),
            memory: "Zoë's day".into(),
            variant: "original".into(),
            permissions: 3,
            expires: 1_000,
            revocations: 7,
            minter: Minter::Person(Principal::from_slice(&[1; 29])),
        }
    }

    #[test]
    fn a_token_opens_its_asset_until_it_expires() {
        let token = mint(&SECRET, &scope()).unwrap();
        let verify = |memory: &str, variant: &str, permission, now| {
            verify(&SECRET, &token, memory, variant, permission, now)
        };
        let memory = "Zoë's day";
        assert_eq!(verify(memory, "original", 1, 999), Ok(scope()));
        assert_eq!(verify(memory, "original", 2, 0), Ok(scope()));
        assert_eq!(verify(memory, "original", 1, 1_000), Err(TokenError::Expired));
        assert_eq!(verify(memory, "original", 4, 0), Err(TokenError::WrongScope));
        assert_eq!(verify(memory, "display", 1, 0), Err(TokenError::WrongScope));
        assert_eq!(verify("other", "original", 1, 0), Err(TokenError::WrongScope));
        assert!(token.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)));
        assert_eq!(claims(&token), Ok(scope()));
    }

    #[test]
    fn another_secret_is_refused_whatever_the_token_says() {
        let token = mint(&[4; 32], &scope()).unwrap();
        assert_eq!(verify(&SECRET, &token, "other", "x", 31, u64::MAX), Err(TokenError::WrongSignature));
    }

    #[test]
    fn who_made_a_token_and_how_is_part_of_it() {
        for principal in [Principal::anonymous(), Principal::from_slice(&[9; 29]), Principal::from_slice(&[])]
        {
            for minter in [Minter::Person(principal), Minter::Operator(principal)] {
                let scope = Scope { minter, ..scope() };
                assert_eq!(claims(&mint(&SECRET, &scope).unwrap()), Ok(scope));
            }
        }
    }

    #[test]
    fn the_longest_names_fit_and_longer_ones_have_no_token() {
        let longest =
            Scope { capsule: "c".repeat(255), memory: "m".repeat(255), variant: "v".repeat(255), ..scope() };
        let token = mint(&SECRET, &longest).unwrap();
        assert_eq!(claims(&token), Ok(longest));
        assert_eq!(mint(&SECRET, &Scope { memory: "m".repeat(256), ..scope() }), None);
    }

    proptest! {
        #[test]
        fn any_changed_bit_is_refused(at in any::<prop::sample::Index>(), bit in 0..8u8) {
            let mut bytes = URL_SAFE_NO_PAD.decode(mint(&SECRET, &scope()).unwrap()).unwrap();
            let at = at.index(bytes.len());
            bytes[at] ^= 1 << bit;
            let changed = URL_SAFE_NO_PAD.encode(bytes);
            prop_assert!(verify(&SECRET, &changed, "Zoë's day", "original", 1, 0).is_err());
        }

        #[test]
        fn any_text_is_refused_without_panic(text in "\\PC{0,80}|[A-Za-z0-9_-]{0,200}") {
            prop_assert!(verify(&SECRET, &text, "m", "original", 1, 0).is_err());
        }
    }
}
