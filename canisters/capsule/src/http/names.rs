//! Paths: `/asset/{memory}/{variant}`, percent-encoded (RFC 3986).

use types::AssetVariant;

/// The name of a variant in a path. A variant of another name is `other:` and that name.
pub fn variant_name(variant: &AssetVariant) -> String {
    match variant {
        AssetVariant::Original => "original".into(),
        AssetVariant::Display => "display".into(),
        AssetVariant::Thumbnail => "thumbnail".into(),
        AssetVariant::Placeholder => "placeholder".into(),
        AssetVariant::Metadata => "metadata".into(),
        AssetVariant::Other(name) => format!("other:{name}"),
    }
}

/// The variant of a name in a path.
pub fn variant_of(name: &str) -> Option<AssetVariant> {
    Some(match name {
        "original" => AssetVariant::Original,
        "display" => AssetVariant::Display,
        "thumbnail" => AssetVariant::Thumbnail,
        "placeholder" => AssetVariant::Placeholder,
        "metadata" => AssetVariant::Metadata,
        other => AssetVariant::Other(other.strip_prefix("other:")?.to_owned()),
    })
}

/// Path with query of an asset, token included.
pub fn asset_path(memory: &str, variant: &AssetVariant, token: &str) -> String {
    format!("/asset/{}/{}?token={token}", percent_encode(memory), percent_encode(&variant_name(variant)))
}

/// The path of an asset before percent-encoding, as the certification tree knows it.
pub(super) fn tree_path(memory: &str, variant: &AssetVariant) -> String {
    format!("/asset/{memory}/{}", variant_name(variant))
}

/// Every byte but RFC 3986's unreserved ones as %XX.
pub fn percent_encode(text: &str) -> String {
    text.bytes().fold(String::new(), |mut out, byte| {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => out.push(byte.into()),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
        out
    })
}

/// None where a % is not followed by two hexadecimal digits, or the bytes are not UTF-8.
pub(super) fn percent_decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        if byte == b'%' {
            let (digits, tail) = rest.split_first_chunk::<2>()?;
            let digit = |at: usize| char::from(digits[at]).to_digit(16);
            bytes.push((digit(0)? * 16 + digit(1)?) as u8);
            rest = tail;
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).ok()
}

/// The value of a query parameter, as it stands.
pub(super) fn query_parameter<'a>(query: &'a str, name: &str) -> Option<&'a str> {
    query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_name_survives_the_path(name in "\\PC{0,40}") {
            prop_assert_eq!(percent_decode(&percent_encode(&name)), Some(name.clone()));
            let variant = AssetVariant::Other(name);
            prop_assert_eq!(variant_of(&variant_name(&variant)), Some(variant));
        }

        #[test]
        fn any_path_is_decoded_without_panic(path in "[%0-9a-fA-F\\PC]{0,30}") {
            percent_decode(&path);
        }
    }

    #[test]
    fn broken_escapes_are_refused() {
        for broken in ["%", "%4", "%zz", "%ff", "a%2"] {
            assert_eq!(percent_decode(broken), None, "{broken}");
        }
        assert_eq!(percent_decode("Zo%c3%AB").as_deref(), Some("Zoë"));
    }

    #[test]
    fn parameters_are_found_by_their_whole_name() {
        assert_eq!(query_parameter("xtoken=1&token=2&token=3", "token"), Some("2"));
        assert_eq!(query_parameter("tokens=1", "token"), None);
    }
}
