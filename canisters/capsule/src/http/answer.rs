//! What is answered to a request for an asset that may be seen: status, headers, which bytes.

use super::headers::{
    content_disposition, content_type, etag, header, none_match, range, security_policy, Ranged, SANDBOX,
};
use super::link_page::link_page;
use super::Assets;
use storage::digest::sha256;
use types::limits::CHUNK_SIZE;
use types::{chunk_count, chunk_length, Asset, AssetLocation, Digest, HttpRequest};

/// Chunks of a public asset whose ranges are certified: the first gigabyte.
const CERTIFIED_CHUNKS: u32 = 512;

/// An asset with its bytes' place, hash and length.
pub(super) struct Shown {
    asset: Asset,
    pub sha256: Digest,
    pub length: u64,
    public: bool,
    /// It stands for an asset that is elsewhere: a page with its link, of our own making.
    is_link: bool,
}

/// Which part of an asset is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Choice {
    Whole,
    /// First and last byte, at most a chunk.
    Part(u64, u64),
    NotModified,
    Unsatisfiable,
}

/// A request that a certified answer is prepared for: the method, and the header that decides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Form {
    pub method: &'static str,
    pub condition: Option<(&'static str, String)>,
    pub choice: Choice,
}

impl Shown {
    /// None where the record names bytes that cannot be: no SHA-256, no URL.
    pub fn new(mut asset: Asset, public: bool) -> Option<Self> {
        let is_link = matches!(asset.location, AssetLocation::External { .. });
        if let AssetLocation::External { url, .. } = &asset.location {
            asset.location = AssetLocation::Inline(link_page(url)?.into_bytes().into());
        }
        let (sha256, length) = match &asset.location {
            AssetLocation::Inline(bytes) => (sha256(bytes), bytes.len() as u64),
            AssetLocation::Internal { sha256, length } => (sha256.as_slice().try_into().ok()?, *length),
            AssetLocation::External { .. } => return None,
        };
        Some(Shown { asset, sha256, length, public, is_link })
    }

    /// What this request gets of the asset.
    pub fn choose(&self, request: &HttpRequest) -> Choice {
        let tag = etag(&self.sha256);
        if header(request, "if-none-match").is_some_and(|value| none_match(value, &tag)) {
            return Choice::NotModified;
        }
        match header(request, "range").filter(|_| request.method == "GET" && self.may_be_cut(request)) {
            None => Choice::Whole,
            Some(value) => match range(value, self.length) {
                Ranged::Whole => Choice::Whole,
                Ranged::Part(first, last) => Choice::Part(first, last.min(first + CHUNK_SIZE - 1)),
                Ranged::Unsatisfiable => Choice::Unsatisfiable,
            },
        }
    }

    /// False where the reader has the beginning of something else: If-Range, RFC 9110 section 13.1.5.
    fn may_be_cut(&self, request: &HttpRequest) -> bool {
        header(request, "if-range").is_none_or(|value| value == etag(&self.sha256))
    }

    /// What a request gets whose answer must be certified: one of the forms. Ranges that are none of
    /// them are answered by the whole asset, as RFC 9110 section 14.2 allows: the hash of an answer
    /// has to be known before the request.
    pub fn choose_form(&self, request: &HttpRequest) -> Form {
        let forms = self.forms();
        let asked = |form: &&Form| {
            form.method == request.method
                && form.condition.as_ref().is_some_and(|(name, value)| header(request, name) == Some(value))
                && (!matches!(form.choice, Choice::Part(..)) || self.may_be_cut(request))
        };
        let plain = |form: &&Form| form.method == request.method && form.condition.is_none();
        let found = forms.iter().find(asked).or_else(|| forms.iter().find(plain));
        found.expect("a plain form for GET and HEAD").clone()
    }

    /// The requests that certified answers are prepared for: whole, unchanged, and the ranges that
    /// browsers ask for one after the other (a chunk each), and to try whether there are ranges.
    pub fn forms(&self) -> Vec<Form> {
        let mut forms: Vec<Form> =
            ["GET", "HEAD"].map(|method| Form { method, condition: None, choice: Choice::Whole }).into();
        let mut get = |name, value, choice| {
            forms.push(Form { method: "GET", condition: Some((name, value)), choice });
        };
        get("If-None-Match", etag(&self.sha256), Choice::NotModified);
        if self.length > 1 {
            get("Range", "bytes=0-1".into(), Choice::Part(0, 1));
        }
        for index in 0..chunk_count(self.length).min(CERTIFIED_CHUNKS) {
            let first = u64::from(index) * CHUNK_SIZE;
            let choice = Choice::Part(first, first + chunk_length(self.length, index) - 1);
            get("Range", format!("bytes={first}-"), choice);
            get("Range", format!("bytes={first}-{}", self.length - 1), choice);
        }
        forms
    }

    /// Status and headers.
    pub fn head(&self, choice: Choice, method: &str) -> (u16, Vec<(String, String)>) {
        let mut headers = Vec::new();
        let mut add = |name: &str, value: String| headers.push((name.to_owned(), value));
        add("ETag", etag(&self.sha256));
        add("Accept-Ranges", "bytes".into());
        let mime_type = &self.asset.mime_type;
        match choice {
            Choice::Whole | Choice::Part(..) if self.is_link => {
                add("Content-Type", "text/html; charset=utf-8".into());
            }
            Choice::Whole | Choice::Part(..) => {
                add("Content-Type", content_type(mime_type));
                add("Content-Disposition", content_disposition(&self.asset.name, mime_type));
            }
            Choice::NotModified | Choice::Unsatisfiable => {}
        }
        let policy = if self.is_link { SANDBOX } else { security_policy(mime_type) };
        add(super::POLICY, policy.into());
        match choice {
            Choice::Part(first, last) => {
                add("Content-Range", format!("bytes {first}-{last}/{}", self.length))
            }
            Choice::Unsatisfiable => add("Content-Range", format!("bytes */{}", self.length)),
            Choice::Whole if method == "HEAD" => add("Content-Length", self.length.to_string()),
            _ => {}
        }
        let cache = if self.public { "public, max-age=60, must-revalidate" } else { "private, no-store" };
        add("Cache-Control", cache.into());
        let status = match choice {
            Choice::Whole => 200,
            Choice::Part(..) => 206,
            Choice::NotModified => 304,
            Choice::Unsatisfiable => 416,
        };
        (status, headers)
    }

    /// The bytes of the body that fit one answer; the rest of a whole asset is streamed.
    /// None where the blob is not here.
    pub fn body<A: Assets>(&self, choice: Choice, method: &str, assets: &A) -> Option<Vec<u8>> {
        match choice {
            Choice::Whole if method != "HEAD" => self.read(0, CHUNK_SIZE, assets),
            Choice::Part(first, last) => self.read(first, last - first + 1, assets),
            _ => Some(Vec::new()),
        }
    }

    /// The SHA-256 of the whole body, streamed parts included; nothing is read that has a known hash.
    pub fn body_hash<A: Assets>(&self, choice: Choice, method: &str, assets: &A) -> Option<Digest> {
        match (choice, &self.asset.location) {
            (Choice::Whole, _) if method != "HEAD" => Some(self.sha256),
            (Choice::Part(first, last), AssetLocation::Internal { .. })
                if first % CHUNK_SIZE == 0
                    && last - first + 1 == chunk_length(self.length, (first / CHUNK_SIZE) as u32) =>
            {
                assets.chunk_digest(&self.sha256, (first / CHUNK_SIZE) as u32)
            }
            _ => self.body(choice, method, assets).map(|body| sha256(&body)),
        }
    }

    /// One chunk of the asset.
    pub fn chunk<A: Assets>(&self, index: u32, assets: &A) -> Option<Vec<u8>> {
        self.read(u64::from(index) * CHUNK_SIZE, CHUNK_SIZE, assets)
    }

    fn read<A: Assets>(&self, start: u64, length: u64, assets: &A) -> Option<Vec<u8>> {
        match &self.asset.location {
            AssetLocation::Inline(bytes) => {
                Some(bytes.iter().skip(start as usize).take(length as usize).copied().collect())
            }
            AssetLocation::Internal { .. } => assets.read_blob(&self.sha256, start, length),
            AssetLocation::External { .. } => None,
        }
    }
}
