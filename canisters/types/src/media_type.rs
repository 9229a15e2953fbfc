//! Media types as RFC 9110 section 8.3.1 has them, narrower: at most one parameter, a charset.

/// A media type taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MediaType<'a> {
    /// `type/subtype` in lower case.
    pub essence: String,
    pub charset: Option<&'a str>,
}

impl<'a> MediaType<'a> {
    /// None for what is no media type, or has another parameter than a charset.
    pub fn parse(value: &'a str) -> Option<Self> {
        let (essence, parameter) = match value.split_once(';') {
            Some((essence, parameter)) => (essence.trim_end_matches([' ', '\t']), Some(parameter)),
            None => (value, None),
        };
        let (kind, subtype) = essence.split_once('/')?;
        if !is_token(kind) || !is_token(subtype) {
            return None;
        }
        let charset = match parameter {
            None => None,
            Some(parameter) => {
                let (name, charset) = parameter.trim_matches([' ', '\t']).split_once('=')?;
                (name.eq_ignore_ascii_case("charset") && is_token(charset)).then_some(Some(charset))?
            }
        };
        Some(MediaType { essence: essence.to_ascii_lowercase(), charset })
    }
}

fn is_token(text: &str) -> bool {
    !text.is_empty()
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn media_types_are_two_tokens_and_a_charset() {
        for (value, essence, charset) in [
            ("image/jpeg", "image/jpeg", None),
            ("Image/SVG+xml", "image/svg+xml", None),
            ("text/plain;charset=utf-8", "text/plain", Some("utf-8")),
            ("text/plain ; Charset=latin1", "text/plain", Some("latin1")),
            ("application/vnd.a_b-c", "application/vnd.a_b-c", None),
        ] {
            assert_eq!(
                MediaType::parse(value),
                Some(MediaType { essence: essence.into(), charset }),
                "{value}"
            );
        }
    }

    #[test]
    fn everything_else_is_none() {
        for value in [
            "",
            "/",
            "image",
            "image/",
            "/png",
            " image/png",
            "image/png ",
            "image /png",
            "image/png/x",
            "image/png,text/html",
            "audio/x,text/html",
            "image/svg+xml,image/svg+xml",
            "image/png;",
            "image/png;x=y",
            "image/png; charset=",
            "image/png; charset=utf-8; x=y",
            "image/png; charset=\"utf-8\"",
            "image/png; charset=utf-8, text/html",
            "image/png\r\nx: y",
            "image/\u{e9}",
        ] {
            assert_eq!(MediaType::parse(value), None, "{value}");
        }
    }
}
