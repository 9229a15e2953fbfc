//! Response certification (HTTP Gateway Protocol Specification, "Response Verification", version 2).
//!
//! ```text
//! expression path         certification
//! /health            <$>  response only: the fixed answers
//! /asset/{m}/{v}     <$>  public assets: request (method, and Range or If-None-Match) and response
//! /asset             <*>  skip: answers that depend on a token, and everything else below /asset
//!                    <*>  response only: the fixed answers
//! ```
//!
//! What is skipped is skipped by the canister's own word, so gateways take it, but only where no
//! certified answer is: a public asset's path is more specific, so nobody can pass off other bytes
//! there. Every header of an answer is certified but IC-Certificate itself.
//!
//! The tree has as many branches as there are public assets, so nothing ever walks over all of it:
//!
//! ```text
//! http_expr
//!   <*>, health    constant, in the heap
//!   asset          ASSET_LABELS, a label tree in stable memory
//!     <*>          constant
//!     {m}          PUBLISHED: capsule 00 memory 00 -> name 00 digest [32] of each group, in order
//!       {group}    the variants whose names are equal as far as the first slash. CERTIFIED_FORMS:
//!                  capsule 00 memory 00 group 00 -> of each form: rest of the name 00, hashes of
//!                  expression, request and response [32] each
//! ```

use super::answer::Shown;
use super::names::{tree_path, variant_name};
use super::{Assets, Context};
use certification::{Branch, LabelTree};
use ic_certification::hash_tree::fork_hash;
use ic_certification::{fork, labeled, merge_hash_trees, pruned, HashTree};
use ic_http_certification::utils::{
    build_v2_certificate_header_value, cbor_encode_to_base64, more_specific_wildcards_for,
    EXACT_PATH_TERMINATOR, PATH_PREFIX, WILDCARD_PATH_TERMINATOR,
};
use ic_http_certification::{
    request_hash, response_hash, DefaultCelBuilder, DefaultFullCelExpression, DefaultResponseCertification,
    DefaultResponseOnlyCelExpression, HttpCertificationPath, Method, StatusCode,
    CERTIFICATE_EXPRESSION_HEADER_NAME, CERTIFICATE_HEADER_NAME,
};
use ic_stable_structures::memory_manager::MemoryManager;
use ic_stable_structures::{Memory as StableMemory, StableBTreeMap};
use std::collections::{BTreeMap, BTreeSet};
use storage::digest::sha256;
use storage::keys::{Fields, Key};
use storage::memory::{self, Vm};
use types::{AssetVariant, Digest, HttpResponse, Memory};

type Headers = Vec<(String, String)>;
/// Labels below `http_expr`.
type Path = Vec<Vec<u8>>;

/// How an answer is certified.
pub(super) enum Proof {
    Skip,
    /// A fixed answer at `/health` or anywhere else.
    Fixed,
    /// A form of a public asset.
    Public {
        memory: String,
        variant: AssetVariant,
        method: &'static str,
        condition: Option<(&'static str, String)>,
    },
}

/// The certified answers of a canister.
pub(super) struct Certifier<M: StableMemory> {
    /// The fixed answers, by their first label: always the same.
    fixed: BTreeMap<&'static str, Branch>,
    /// What is below the skipped path.
    skipped: Branch,
    /// The level below /asset.
    assets: LabelTree<Vm<M>>,
    published: StableBTreeMap<Vec<u8>, Vec<u8>, Vm<M>>,
    forms: StableBTreeMap<Vec<u8>, Vec<u8>, Vm<M>>,
}

impl<M: StableMemory> Certifier<M> {
    /// Opens the tree, with these fixed answers, each as (path or none, status, headers, body). What it
    /// costs does not depend on what is published.
    pub fn init(
        memories: &MemoryManager<M>,
        fixed: impl Iterator<Item = (Option<&'static str>, u16, Headers, &'static str)>,
    ) -> Self {
        let mut answers = BTreeMap::<&str, Branch>::new();
        for (path, status, headers, body) in fixed {
            let (hashes, _) = certify(&Proof::Fixed, status, &headers, sha256(body.as_bytes()));
            let label = path.map_or(WILDCARD_PATH_TERMINATOR, |path| &path[1..]);
            let end = path.map(|_| EXACT_PATH_TERMINATOR.as_bytes());
            let below = end.into_iter().chain(hashes.iter().map(Vec::as_slice));
            answers.entry(label).or_default().insert(below, Branch::Leaf(vec![]));
        }
        let (hashes, _) = certify(&Proof::Skip, 0, &vec![], [0; 32]);
        let mut skipped = Branch::default();
        skipped.insert(hashes.iter().map(Vec::as_slice), Branch::Leaf(vec![]));
        let mut certifier = Certifier {
            fixed: answers,
            skipped,
            assets: LabelTree::init(memories.get(memory::ASSET_LABELS)),
            published: StableBTreeMap::init(memories.get(memory::PUBLISHED)),
            forms: StableBTreeMap::init(memories.get(memory::CERTIFIED_FORMS)),
        };
        certifier.put_skipped();
        certifier
    }

    /// The hash of the branch `http_expr` of the canister's certified data.
    pub fn root_hash(&self) -> Digest {
        self.root(|label| match label {
            ASSET => pruned(self.assets.root_hash()),
            label => pruned(self.fixed[label].digest()),
        })
        .digest()
    }

    /// Whether the answers of a memory are certified. If so they are given as they are certified: no
    /// other would be taken.
    pub fn has(&self, capsule: &str, memory: &str) -> bool {
        self.published.contains_key(&key(capsule, memory).into_bytes())
    }

    /// Whether any answer of a capsule is certified.
    pub fn has_any(&self, capsule: &str) -> bool {
        let prefix = Key::default().text(capsule);
        self.published.keys_range(prefix.clone().into_bytes()..prefix.end()).next().is_some()
    }

    /// Certifies all forms of all assets of a public memory, in the place of what was certified of it.
    /// Answers how many forms these are: it costs as much.
    pub fn publish<A: Assets>(&mut self, capsule: &str, memory: &Memory, assets: &A) -> usize {
        self.withdraw(capsule, &memory.id);
        if !is_one_label(&memory.id) {
            return 0;
        }
        let mut groups = BTreeMap::<String, Forms>::new();
        for asset in &memory.assets {
            let name = variant_name(&asset.variant_);
            let group = name.split('/').next().unwrap_or_default();
            let Some(shown) = Shown::new(asset.clone(), true) else { continue };
            let forms = groups.entry(group.to_owned()).or_default();
            for form in shown.forms() {
                let (status, headers) = shown.head(form.choice, form.method);
                let Some(hash) = shown.body_hash(form.choice, form.method, assets) else { continue };
                let proof = Proof::Public {
                    memory: memory.id.clone(),
                    variant: asset.variant_.clone(),
                    method: form.method,
                    condition: form.condition,
                };
                let (hashes, _) = certify(&proof, status, &super::common_headers(headers), hash);
                forms.0.push((name[group.len()..].to_owned(), hashes.concat()));
            }
        }
        groups.retain(|_, forms| !forms.0.is_empty());
        if groups.is_empty() {
            return 0;
        }
        let mut branch = Branch::default();
        let mut digests = Key::default();
        for (group, forms) in &groups {
            let digest = forms.branch().digest();
            branch.insert([group.as_bytes()], Branch::Pruned(digest));
            digests = digests.text(group).bytes(&digest);
            self.forms.insert(key(capsule, &memory.id).text(group).into_bytes(), forms.encode());
        }
        self.assets.insert(memory.id.as_bytes(), &branch.digest());
        self.published.insert(key(capsule, &memory.id).into_bytes(), digests.into_bytes());
        groups.values().map(|forms| forms.0.len()).sum()
    }

    /// Forgets the certified answers of a memory, if there are any.
    pub fn withdraw(&mut self, capsule: &str, memory: &str) {
        let Some(groups) = self.published.remove(&key(capsule, memory).into_bytes()) else { return };
        for (group, _) in digests(&groups) {
            self.forms.remove(&key(capsule, memory).text(&group).into_bytes());
        }
        self.assets.remove(memory.as_bytes());
    }

    /// Forgets the certified answers of at most `limit` memories of a capsule, and answers of how many.
    pub fn withdraw_some(&mut self, capsule: &str, limit: usize) -> usize {
        let prefix = Key::default().text(capsule);
        let range = prefix.clone().into_bytes()..prefix.end();
        let keys: Vec<Vec<u8>> = self.published.keys_range(range).take(limit).collect();
        for key in &keys {
            let mut fields = Fields(key);
            let memory = fields.text().and_then(|_| fields.text()).expect("a key of two texts");
            self.withdraw(capsule, &memory);
        }
        keys.len()
    }

    /// Forgets all certified answers of all capsules, at once.
    pub fn reset(&mut self) {
        self.published.clear_new();
        self.forms.clear_new();
        self.assets.clear();
        self.put_skipped();
    }

    /// Adds the two certificate headers to an answer; `path` is the request's, percent-decoded.
    pub fn seal<A: Assets>(
        &self,
        response: &mut HttpResponse,
        proof: &Proof,
        path: &str,
        hash: Digest,
        assets: &A,
        context: &Context,
    ) {
        let Some(certificate) = &context.certificate else { return };
        let (hashes, expression) = certify(proof, response.status_code, &response.headers, hash);
        let place = match proof {
            Proof::Skip => HttpCertificationPath::wildcard("/asset"),
            Proof::Fixed if path == HEALTH => HttpCertificationPath::exact(HEALTH),
            Proof::Fixed => HttpCertificationPath::wildcard(""),
            Proof::Public { memory, variant, .. } => HttpCertificationPath::exact(tree_path(memory, variant)),
        };
        let expr_path = place.to_expr_path();
        let labels: Path = expr_path[1..].iter().map(|label| label.as_bytes().to_vec()).collect();
        let mut paths = BTreeSet::<Path>::new();
        if expr_path.last().is_some_and(|end| end == WILDCARD_PATH_TERMINATOR) {
            // that nothing more specific is there
            let asked = HttpCertificationPath::exact(path).to_expr_path();
            let asked = asked[1..].iter().take(DEEPEST);
            let asked: Path = asked.map(|label| label.as_bytes().to_vec()).collect();
            paths.extend(more_specific_wildcards_for(&asked, &labels));
            paths.insert(asked);
        }
        paths.insert([labels, hashes].concat());
        let witness = fork(self.witness(&paths, assets), pruned(context.beside_http));
        let value =
            build_v2_certificate_header_value(certificate, &witness, &cbor_encode_to_base64(&expr_path));
        response.headers.push((CERTIFICATE_EXPRESSION_HEADER_NAME.into(), expression));
        response.headers.push((CERTIFICATE_HEADER_NAME.into(), value));
    }

    /// The tree with these paths in view, or the proof that they are not there.
    fn witness<A: Assets>(&self, paths: &BTreeSet<Path>, assets: &A) -> HashTree {
        let below = |label: &[u8]| -> Vec<&[Vec<u8>]> {
            let behind = paths.iter().filter(|path| path.first().is_some_and(|first| first == label));
            behind.map(|path| &path[1..]).collect()
        };
        self.root(|label| match label {
            ASSET => self.assets_witness(&below(ASSET.as_bytes()), assets),
            label => self.fixed[label].view(&below(label.as_bytes())),
        })
    }

    fn assets_witness<A: Assets>(&self, paths: &[&[Vec<u8>]], assets: &A) -> HashTree {
        let labels: BTreeSet<&Vec<u8>> = paths.iter().filter_map(|path| path.first()).collect();
        let mut witness = pruned(self.assets.root_hash());
        for label in labels {
            let here = paths.iter().filter(|path| path.first() == Some(label));
            let below: Vec<&[Vec<u8>]> = here.map(|path| &path[1..]).collect();
            let view = self.assets.witness(label, |digest| {
                if label == WILDCARD_PATH_TERMINATOR.as_bytes() {
                    return self.skipped.view(&below);
                }
                let branch = self.memory_branch(label, &below, assets);
                branch.map_or(pruned(digest), |branch| branch.view(&below))
            });
            witness = merge_hash_trees(witness, view);
        }
        witness
    }

    /// What is below a memory's label, in full as far as these paths go.
    fn memory_branch<A: Assets>(&self, label: &[u8], paths: &[&[Vec<u8>]], assets: &A) -> Option<Branch> {
        let memory = std::str::from_utf8(label).ok()?;
        let capsule = assets.capsule_with(memory)?;
        let groups = self.published.get(&key(&capsule, memory).into_bytes())?;
        let mut branch = Branch::default();
        for (group, digest) in digests(&groups) {
            let wanted = paths.iter().any(|path| path.first().is_some_and(|first| first == group.as_bytes()));
            let forms = || self.forms.get(&key(&capsule, memory).text(&group).into_bytes());
            let below = wanted.then(forms).flatten().map(|forms| Forms::decode(&forms).branch());
            branch.insert([group.as_bytes()], below.unwrap_or(Branch::Pruned(digest)));
        }
        Some(branch)
    }

    fn root(&self, branch: impl Fn(&str) -> HashTree) -> HashTree {
        let [anywhere, asset, health] =
            [WILDCARD_PATH_TERMINATOR, ASSET, &HEALTH[1..]].map(|label| labeled(label, branch(label)));
        labeled(PATH_PREFIX, fork(anywhere, fork(asset, health)))
    }

    fn put_skipped(&mut self) {
        let digest = self.skipped.digest();
        if self.assets.get(WILDCARD_PATH_TERMINATOR.as_bytes()) != Some(digest) {
            self.assets.insert(WILDCARD_PATH_TERMINATOR.as_bytes(), &digest);
        }
    }
}

/// The certified forms of a group: rest of the variant's name, hashes of expression, request, response.
#[derive(Default)]
struct Forms(Vec<(String, Vec<u8>)>);

const HASHES: usize = 3 * 32;

impl Forms {
    fn branch(&self) -> Branch {
        let mut branch = Branch::default();
        for (rest, hashes) in &self.0 {
            let ends = rest.ends_with('/').then_some("");
            let labels = rest.split('/').filter(|label| !label.is_empty()).chain(ends);
            let labels = labels.chain([EXACT_PATH_TERMINATOR]).map(str::as_bytes);
            branch.insert(labels.chain(hashes.chunks(32)), Branch::Leaf(vec![]));
        }
        branch
    }

    fn encode(&self) -> Vec<u8> {
        let fields = self.0.iter();
        fields.fold(Key::default(), |key, (rest, hashes)| key.text(rest).bytes(hashes)).into_bytes()
    }

    fn decode(bytes: &[u8]) -> Self {
        let mut fields = Fields(bytes);
        let mut forms = Vec::new();
        while let (Some(rest), Some(hashes)) = (fields.text(), fields.bytes(HASHES)) {
            forms.push((rest, hashes.to_vec()));
        }
        Forms(forms)
    }
}

/// The groups of a memory with their digests.
fn digests(bytes: &[u8]) -> Vec<(String, Digest)> {
    let mut fields = Fields(bytes);
    let mut groups = Vec::new();
    while let (Some(name), Some(digest)) = (fields.text(), fields.bytes(32)) {
        groups.push((name, digest.try_into().expect("32 bytes")));
    }
    groups
}

/// Whether a memory's id is one label of a path, and none that means something else there. The others
/// are answered without a certificate.
fn is_one_label(memory: &str) -> bool {
    !memory.contains('/') && memory != EXACT_PATH_TERMINATOR && memory != WILDCARD_PATH_TERMINATOR
}

fn key(capsule: &str, memory: &str) -> Key {
    Key::default().text(capsule).text(memory)
}

const ASSET: &str = "asset";
/// More labels than any path in the tree has: what lies deeper is not there because this is not.
const DEEPEST: usize = 48;
pub(super) const HEALTH: &str = "/health";

/// A canister's certified data: the labelled branch `http_expr` and what stands beside it, by their hashes.
pub fn certified_data(http_branch: &Digest, beside_http: &Digest) -> Digest {
    fork_hash(http_branch, beside_http)
}

fn all_headers<'a>() -> DefaultResponseCertification<'a> {
    DefaultResponseCertification::response_header_exclusions(vec![])
}

fn response_only() -> DefaultResponseOnlyCelExpression<'static> {
    DefaultCelBuilder::response_only_certification().with_response_certification(all_headers()).build()
}

fn with_request<'a>(headers: Vec<&'a str>) -> DefaultFullCelExpression<'a> {
    DefaultCelBuilder::full_certification()
        .with_request_headers(headers)
        .with_response_certification(all_headers())
        .build()
}

/// The labels below an answer's place in the tree (hashes of expression, request, response), and the value
/// of its IC-CertificateExpression header.
fn certify(proof: &Proof, status: u16, headers: &Headers, body_hash: Digest) -> (Path, String) {
    let response = |expression: &str| {
        let mut headers = headers.clone();
        headers.push((CERTIFICATE_EXPRESSION_HEADER_NAME.into(), expression.to_owned()));
        ic_http_certification::HttpResponse::builder()
            .with_status_code(StatusCode::from_u16(status).expect("a status code of our own"))
            .with_headers(headers)
            .build()
    };
    let of_expression = |expression: &str| sha256(expression.as_bytes()).to_vec();
    match proof {
        Proof::Skip => {
            let expression = DefaultCelBuilder::skip_certification().to_string();
            (vec![of_expression(&expression)], expression)
        }
        Proof::Fixed => {
            let rule = response_only();
            let expression = rule.to_string();
            let answer = response_hash(&response(&expression), &rule.response, Some(body_hash));
            (vec![of_expression(&expression), vec![], answer.to_vec()], expression)
        }
        Proof::Public { method, condition, .. } => {
            let rule = with_request(condition.iter().map(|(name, _)| *name).collect());
            let expression = rule.to_string();
            let request = ic_http_certification::HttpRequest::builder()
                .with_method(Method::from_bytes(method.as_bytes()).expect("a method of our own"))
                .with_url("/")
                .with_headers(
                    condition.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect(),
                )
                .build();
            let asked = request_hash(&request, &rule.request).expect("a URL of our own");
            let answer = response_hash(&response(&expression), &rule.response, Some(body_hash));
            (vec![of_expression(&expression), asked.to_vec(), answer.to_vec()], expression)
        }
    }
}
