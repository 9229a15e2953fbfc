//! The page that stands for an asset at a URL elsewhere.
//!
//! It shows the link and goes nowhere by itself: a canister that redirected to whatever a record says would
//! lend its name to any address.

/// The page; None for what is no web address.
pub(super) fn link_page(url: &str) -> Option<String> {
    let is_web = url.starts_with("https://") || url.starts_with("http://");
    (is_web && url.bytes().all(|byte| byte.is_ascii_graphic())).then(|| {
        let url = escape(url);
        format!(
            "<!doctype html>\n<meta charset=\"utf-8\">\n<title>Kept elsewhere</title>\n\
             <p>This file is not kept here. Its owner says that it is at:</p>\n\
             <p><a href=\"{url}\" rel=\"noopener noreferrer nofollow\">{url}</a></p>\n"
        )
    })
}

fn escape(text: &str) -> String {
    text.chars().fold(String::new(), |mut out, character| {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            other => out.push(other),
        }
        out
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_cannot_leave_its_place() {
        let page = link_page("https://example.org/?a=1&b=\"><script>x</script>'").unwrap();
        assert!(page.contains(
            "href=\"https://example.org/?a=1&amp;b=&quot;&gt;&lt;script&gt;x&lt;/script&gt;&#39;\""
        ));
        assert!(!page.contains("<script"));
    }

    #[test]
    fn only_the_web_is_linked() {
        for url in ["javascript://x/%0aalert(1)", "data:text/html,x", "ftp://x/y", "https://a b", ""] {
            assert_eq!(link_page(url), None, "{url}");
        }
    }
}
