//! Where a moved capsule's assets are: the same path and query at the personal canister.

use super::headers::header;
use candid::Principal;
use types::HttpRequest;

/// The URL of the same asset at `to`, as the caller reached `from`.
pub(super) fn moved_location(request: &HttpRequest, from: Principal, to: Principal) -> String {
    let (from, to) = (from.to_text(), to.to_text());
    let (path, query) = request.url.split_once('?').unwrap_or((&request.url, ""));
    let named = format!("canisterId={from}");
    let by_query = query.split('&').any(|pair| pair == named);
    let kept: Vec<String> = query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| if pair == named { format!("canisterId={to}") } else { pair.to_owned() })
        .collect();
    let query = if kept.is_empty() { String::new() } else { format!("?{}", kept.join("&")) };
    let host = header(request, "host").filter(|host| is_host(host)).map(str::to_ascii_lowercase);
    let host = host.and_then(|host| match host.split_once('.') {
        // <hub>.localhost:4943, <hub>.icp0.io, <hub>.raw.icp0.io
        Some((label, rest)) if label == from => Some(format!("{to}.{rest}")),
        // 127.0.0.1:4943/?canisterId=<hub>
        _ => by_query.then_some(host),
    });
    let host = host.unwrap_or_else(|| format!("{to}.icp0.io"));
    let name = host.split(':').next().unwrap_or_default();
    let local = name == "localhost" || name.ends_with(".localhost") || name == "127.0.0.1";
    format!("{}://{host}{path}{query}", if local { "http" } else { "https" })
}

/// Only what a host and port consist of may get into a Location.
fn is_host(host: &str) -> bool {
    !host.is_empty() && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-.:[]".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_bytes::ByteBuf;

    #[test]
    fn the_personal_canister_is_reached_the_way_the_hub_was() {
        let hub = Principal::from_slice(&[1; 10]);
        let personal = Principal::from_slice(&[2; 10]);
        for (host, url, expected) in [
            (
                "HUB.localhost:4943",
                "/asset/m/original?token=t",
                "http://PERSONAL.localhost:4943/asset/m/original?token=t",
            ),
            ("HUB.icp0.io", "/asset/m/original", "https://PERSONAL.icp0.io/asset/m/original"),
            ("HUB.raw.icp0.io", "/asset/m/original", "https://PERSONAL.raw.icp0.io/asset/m/original"),
            (
                "127.0.0.1:4943",
                "/asset/m/original?canisterId=HUB&token=t",
                "http://127.0.0.1:4943/asset/m/original?canisterId=PERSONAL&token=t",
            ),
            (
                "photos.example.org",
                "/asset/m/original?token=t",
                "https://PERSONAL.icp0.io/asset/m/original?token=t",
            ),
            ("evil/\r\nx", "/asset/m/original", "https://PERSONAL.icp0.io/asset/m/original"),
        ] {
            let fill =
                |text: &str| text.replace("HUB", &hub.to_text()).replace("PERSONAL", &personal.to_text());
            let request = HttpRequest {
                method: "GET".into(),
                url: fill(url),
                headers: vec![("Host".into(), fill(host))],
                body: ByteBuf::new(),
                certificate_version: Some(2),
            };
            assert_eq!(moved_location(&request, hub, personal), fill(expected));
        }
    }
}
