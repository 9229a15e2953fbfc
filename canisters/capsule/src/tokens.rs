//! The format of asset tokens: whoever has one may fetch one asset over HTTP until it expires.
//!
//! ```text
//! token    URL-safe base64 without padding of  payload, HMAC-SHA256(secret, "icmigrate:asset-token", payload)
//! payload  version u8 = 1, permissions u8, expiry u64 (seconds since 1970, big-endian),
//!          capsule id, memory id, variant name: each as length u8 and bytes
//! ```
//!
//! The secret is 32 random bytes of the capsule and moves with it, so that URLs given out before a
//! migration stay valid after it.

use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use base64::Engine;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

const VERSION: u8 = 1;
const CONTEXT: &[u8] = b"icmigrate:asset-token";
const MAC_LENGTH: usize = 32;
/// Longest token, in characters: no work is spent on longer ones.
const MAX_LENGTH: usize = 1_200;

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
    for name in [&scope.capsule, &scope.memory, &scope.variant] {
        bytes.push(u8::try_from(name.len()).ok()?);
        bytes.extend(name.as_bytes());
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
    let (expires, mut rest) = rest.split_first_chunk()?;
    let mut name = || {
        let (&length, tail) = rest.split_first()?;
        let (name, tail) = tail.split_at_checked(length.into())?;
        rest = tail;
        String::from_utf8(name.to_vec()).ok()
    };
    let (capsule, memory, variant) = (name()?, name()?, name()?);
    (*version == VERSION && rest.is_empty()).then_some(Scope {
        capsule,
        memory,
        variant,
        permissions: *permissions,
        expires: u64::from_be_bytes(*expires),
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
