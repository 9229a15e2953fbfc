//! Header fields: content types and what they may do, file names, entity tags, ranges (RFC 9110, RFC 6266,
//! RFC 8187, CSP 3).

use super::names::percent_encode;
use storage::digest::hex;
use types::media_type::MediaType;
use types::{Digest, HttpRequest};

/// The value of a request's header; the first one where there are several.
pub(super) fn header<'a>(request: &'a HttpRequest, name: &str) -> Option<&'a str> {
    request.headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
}

/// What a browser shows in its own window without running anything of it; everything else it saves.
const SHOWN: [&str; 36] = [
    "application/pdf",
    "audio/aac",
    "audio/flac",
    "audio/mp3",
    "audio/mp4",
    "audio/mpeg",
    "audio/ogg",
    "audio/opus",
    "audio/wav",
    "audio/wave",
    "audio/webm",
    "audio/x-aac",
    "audio/x-flac",
    "audio/x-m4a",
    "audio/x-wav",
    "image/apng",
    "image/avif",
    "image/bmp",
    "image/gif",
    "image/heic",
    "image/heif",
    "image/jpeg",
    "image/jpg",
    "image/jxl",
    "image/png",
    "image/tiff",
    "image/vnd.microsoft.icon",
    "image/webp",
    "image/x-icon",
    "text/plain",
    "video/mp4",
    "video/mpeg",
    "video/ogg",
    "video/quicktime",
    "video/webm",
    "video/x-matroska",
];

/// What everything from users is bound to: no script, nothing from anywhere else, an origin of its own.
/// What browsers build around a picture or a film may have its own bytes and styles.
pub(super) const SANDBOX: &str =
    "default-src 'none'; img-src 'self'; media-src 'self'; style-src 'unsafe-inline'; sandbox";
/// The same for a PDF, without the sandbox: browsers do not open their viewer in one. The viewer has an
/// origin of its own, and no browser takes bytes of this type for anything else.
const VIEWER: &str = "default-src 'none'; object-src 'self'; style-src 'unsafe-inline'";

/// A recorded media type as a Content-Type: what is none is answered as bytes, text says its charset.
pub(super) fn content_type(mime_type: &str) -> String {
    match MediaType::parse(mime_type) {
        None => "application/octet-stream".into(),
        Some(MediaType { essence, charset: Some(charset) }) => format!("{essence}; charset={charset}"),
        Some(MediaType { essence, charset: None }) if essence.starts_with("text/") => {
            format!("{essence}; charset=utf-8")
        }
        Some(MediaType { essence, charset: None }) => essence,
    }
}

/// The Content-Security-Policy of bytes with a recorded media type.
pub(super) fn security_policy(mime_type: &str) -> &'static str {
    match MediaType::parse(mime_type) {
        Some(MediaType { essence, .. }) if essence == "application/pdf" => VIEWER,
        _ => SANDBOX,
    }
}

/// A Content-Disposition that shows what browsers show without running it, and saves the rest.
pub(super) fn content_disposition(name: &str, mime_type: &str) -> String {
    let shown = MediaType::parse(mime_type).is_some_and(|found| SHOWN.contains(&found.essence.as_str()));
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
    fn text_says_its_charset() {
        for (recorded, expected) in [
            ("text/plain", "text/plain; charset=utf-8"),
            ("Text/Plain ;charset=latin1", "text/plain; charset=latin1"),
            ("text/markdown", "text/markdown; charset=utf-8"),
            ("image/PNG", "image/png"),
        ] {
            assert_eq!(content_type(recorded), expected);
        }
    }

    #[test]
    fn what_is_no_media_type_is_bytes_to_be_saved() {
        for broken in [
            "",
            "jpeg",
            "/",
            "image/",
            "image/jpeg\r\nx: y",
            "image/é",
            "image/png,text/html",
            "audio/x,text/html",
            "image/svg+xml,image/svg+xml",
            "image/png; charset=utf-8; x=y",
        ] {
            assert_eq!(content_type(broken), "application/octet-stream", "{broken}");
            assert_eq!(content_disposition("a", broken), "attachment; filename=\"a\"", "{broken}");
            assert_eq!(security_policy(broken), SANDBOX, "{broken}");
        }
    }

    #[test]
    fn only_what_is_listed_is_shown() {
        for active in [
            "text/html",
            "TEXT/HTML; charset=utf-8",
            "image/svg+xml",
            "application/xhtml+xml",
            "text/xml",
            "text/css",
            "text/javascript",
            "application/wasm",
            "multipart/x-mixed-replace",
            "image/unheard-of",
            "audio/x",
        ] {
            assert!(content_disposition("", active) == "attachment", "{active}");
        }
        for passive in [
            "image/png",
            "IMAGE/JPEG",
            "video/mp4",
            "audio/mpeg",
            "text/plain;charset=utf-8",
            "application/pdf",
        ] {
            assert!(content_disposition("", passive) == "inline", "{passive}");
        }
        assert!(SHOWN.is_sorted());
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
            for value in [content_disposition(&name, &mime), content_type(&mime)] {
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
