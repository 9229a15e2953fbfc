//! Header fields: content types, file names, entity tags, ranges (RFC 9110, RFC 6266, RFC 8187).

use super::names::percent_encode;
use storage::digest::hex;
use types::{Digest, HttpRequest};

/// The value of a request's header; the first one where there are several.
pub(super) fn header<'a>(request: &'a HttpRequest, name: &str) -> Option<&'a str> {
    request.headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
}

/// A recorded MIME type as a Content-Type: what could break the header is answered as bytes.
pub(super) fn content_type(mime_type: &str) -> &str {
    let clean = mime_type.bytes().all(|byte| matches!(byte, 0x20..=0x7e));
    match mime_type.split_once('/') {
        Some((kind, rest)) if clean && !kind.is_empty() && !rest.is_empty() => mime_type,
        _ => "application/octet-stream",
    }
}

/// A Content-Disposition that shows what browsers show without running it, and saves the rest.
pub(super) fn content_disposition(name: &str, mime_type: &str) -> String {
    let kind = mime_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let shown = (kind.starts_with("image/") && kind != "image/svg+xml")
        || kind.starts_with("video/")
        || kind.starts_with("audio/")
        || kind == "application/pdf"
        || kind == "text/plain";
    let disposition = if shown { "inline" } else { "attachment" };
    let name: String =
        name.chars().map(|c| if c.is_control() || c == '/' || c == '\\' { '_' } else { c }).collect();
    if name.is_empty() {
        return disposition.to_owned();
    }
    // For old readers in plain ASCII; percent signs are decoded by some of them.
    let plain: String = name
        .chars()
        .map(|c| if (' '..='~').contains(&c) && c != '"' && c != '%' { c } else { '_' })
        .collect();
    if plain == name {
        return format!("{disposition}; filename=\"{plain}\"");
    }
    format!("{disposition}; filename=\"{plain}\"; filename*=UTF-8''{}", percent_encode(&name))
}

/// The entity tag of bytes with this SHA-256.
pub(super) fn etag(sha256: &Digest) -> String {
    format!("\"{}\"", hex(sha256))
}

/// Whether If-None-Match names this entity tag (compared weakly, as RFC 9110 wants it).
pub(super) fn none_match(value: &str, etag: &str) -> bool {
    value == "*" || value.split(',').any(|tag| tag.trim().trim_start_matches("W/") == etag)
}

/// What a Range header asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ranged {
    /// Nothing that is understood here: the header is ignored.
    Whole,
    /// First and last byte.
    Part(u64, u64),
    Unsatisfiable,
}

/// Reads a Range header over that many bytes. Several ranges at once are answered by the whole.
pub(super) fn range(value: &str, length: u64) -> Ranged {
    let number = |text: &str| -> Option<u64> {
        // Longer than any blob is as good as the longest.
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        digits.then(|| text.parse().unwrap_or(u64::MAX))
    };
    let parts = value.strip_prefix("bytes=").and_then(|set| set.trim().split_once('-'));
    let part =
        match parts.map(|(first, last)| (first.is_empty(), number(first), last.is_empty(), number(last))) {
            Some((false, Some(first), true, _)) => (first, u64::MAX),
            Some((false, Some(first), false, Some(last))) if first <= last => (first, last),
            Some((true, _, false, Some(0))) => return Ranged::Unsatisfiable,
            Some((true, _, false, Some(suffix))) => (length.saturating_sub(suffix), u64::MAX),
            _ => return Ranged::Whole,
        };
    match length.checked_sub(1) {
        Some(end) if part.0 <= end => Ranged::Part(part.0, part.1.min(end)),
        _ => Ranged::Unsatisfiable,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn ranges_are_read_as_rfc_9110_says() {
        for (value, expected) in [
            ("bytes=0-", Ranged::Part(0, 9)),
            ("bytes=2-5", Ranged::Part(2, 5)),
            ("bytes=2-99", Ranged::Part(2, 9)),
            ("bytes=9-9", Ranged::Part(9, 9)),
            ("bytes=10-", Ranged::Unsatisfiable),
            ("bytes=-3", Ranged::Part(7, 9)),
            ("bytes=-99", Ranged::Part(0, 9)),
            ("bytes=-0", Ranged::Unsatisfiable),
            ("bytes=0-99999999999999999999999", Ranged::Part(0, 9)),
            ("bytes=5-2", Ranged::Whole),
            ("bytes=0-1,4-5", Ranged::Whole),
            ("bytes=a-b", Ranged::Whole),
            ("bytes=-", Ranged::Whole),
            ("bytes=+1-2", Ranged::Whole),
            ("items=0-1", Ranged::Whole),
            ("", Ranged::Whole),
        ] {
            assert_eq!(range(value, 10), expected, "{value}");
        }
        assert_eq!(range("bytes=0-", 0), Ranged::Unsatisfiable);
    }

    #[test]
    fn file_names_cannot_break_the_header() {
        for (name, mime, expected) in [
            ("a.jpg", "image/jpeg", "inline; filename=\"a.jpg\""),
            ("a b.zip", "application/zip", "attachment; filename=\"a b.zip\""),
            ("", "text/html", "attachment"),
            ("x.svg", "image/svg+xml", "attachment; filename=\"x.svg\""),
            ("é.png", "image/png", "inline; filename=\"_.png\"; filename*=UTF-8''%C3%A9.png"),
            ("a\"b", "image/png", "inline; filename=\"a_b\"; filename*=UTF-8''a%22b"),
            ("../a\r\nb", "image/png", "inline; filename=\".._a__b\""),
            ("50%.png", "image/png", "inline; filename=\"50_.png\"; filename*=UTF-8''50%25.png"),
        ] {
            assert_eq!(content_disposition(name, mime), expected);
        }
    }

    #[test]
    fn content_types_that_are_none_become_bytes() {
        assert_eq!(content_type("text/plain; charset=utf-8"), "text/plain; charset=utf-8");
        for broken in ["", "jpeg", "/", "image/", "image/jpeg\r\nx: y", "image/é"] {
            assert_eq!(content_type(broken), "application/octet-stream", "{broken}");
        }
    }

    #[test]
    fn entity_tags_match_in_lists_and_weakly() {
        let tag = "\"ab\"";
        for (value, expected) in [
            ("\"ab\"", true),
            ("W/\"ab\"", true),
            ("\"x\", \"ab\"", true),
            ("*", true),
            ("\"abc\"", false),
            ("ab", false),
        ] {
            assert_eq!(none_match(value, tag), expected, "{value}");
        }
    }

    proptest! {
        #[test]
        fn headers_are_clean_whatever_the_record_says(name in "\\PC{0,30}|[\\x00-\\x7f]{0,30}", mime in "[\\x00-\\x7f]{0,30}") {
            for value in [content_disposition(&name, &mime), content_type(&mime).to_owned()] {
                prop_assert!(value.bytes().all(|byte| (0x20..=0x7e).contains(&byte)), "{:?}", value);
            }
        }

        #[test]
        fn a_part_lies_within_the_bytes(value in "bytes=[0-9]{0,20}-[0-9]{0,20}", length in any::<u64>()) {
            if let Ranged::Part(first, last) = range(&value, length) {
                prop_assert!(first <= last && last < length);
            }
        }
    }
}
