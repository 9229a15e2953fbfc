//! The canonical encoding of a record: deterministic CBOR (RFC 8949).
//!
//! Records are maps from field names to values, in the declared order of the fields; integers and
//! lengths are as short as possible and definite; None is null; a variant without content is its
//! name, one with content a map from its name to the content; principals and blobs are byte
//! strings. Equal records have equal bytes, and any CBOR reader can name the field that differs.

use serde::de::DeserializeOwned;
use serde::Serialize;
use types::limits::MAX_RECORD;
use types::{Answer, Error};

/// The canonical bytes of a record.
pub fn encode<T: Serialize>(value: &T) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(512);
    ciborium::into_writer(value, &mut bytes).expect("records encode into a vector");
    bytes
}

/// Reads bytes that this canister has written.
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Answer<T> {
    ciborium::from_reader(bytes).map_err(|error| Error::Invalid(format!("not a record: {error}")))
}

/// Reads bytes that came from outside: only the canonical encoding is accepted.
pub fn decode_strictly<T: Serialize + DeserializeOwned>(bytes: &[u8]) -> Answer<T> {
    if bytes.len() > MAX_RECORD {
        return Err(Error::Invalid(format!("a record of {} bytes; the most is {MAX_RECORD}", bytes.len())));
    }
    let value = decode(bytes)?;
    if encode(&value) != bytes {
        return Err(Error::Invalid("these bytes are not the canonical encoding of their record".into()));
    }
    Ok(value)
}
