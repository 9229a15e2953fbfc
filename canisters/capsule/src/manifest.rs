//! The manifest: a digest of everything a capsule consists of, in a trie with one root.
//!
//! A leaf is (kind, id, digest). Of a record the digest is the SHA-256 of its canonical bytes. Of a
//! blob the id is its SHA-256 in lowercase hexadecimal, and the digest is the SHA-256 of its length
//! (u64) and its chunk digests, one behind the other.
//!
//! ```text
//! key hash   SHA-256(kind byte, id in UTF-8)        kind byte: see RecordKind
//! node       of the leaves whose key hash begins with a run of nibbles (high nibble first; the
//!            root: the empty run), in key-hash order:
//!   none          32 zero bytes
//!   up to 16      SHA-256("icmigrate:leaf", key hash and digest of each leaf)
//!   more          SHA-256("icmigrate:inner", the 16 nodes one nibble longer)
//! root       SHA-256("icmigrate:root", records u64, blobs u64, node of the empty run)
//! ```
//!
//! All numbers are big-endian; records are the leaves that are not blobs. The root depends on the
//! set of leaves alone, not on how it came about. Equal nodes have equal leaves below them, so two
//! capsules are compared from the root down, along the differences only.
//!
//! The leaves are kept current, write by write. Digests of inner nodes are computed on demand, in
//! bounded steps, and kept until a leaf below them changes.
//!
//! ```text
//! LEAVES  capsule 00 key hash -> kind u8, digest [32], size u64, id
//! NODES   capsule 00 nibbles, one a byte -> digest of an inner node
//! TOTALS  capsule -> records, record bytes, blobs, blob bytes (u64 each)
//! ```

use ic_stable_structures::memory_manager::MemoryManager;
use ic_stable_structures::{Memory, StableBTreeMap};
use serde_bytes::ByteBuf;
use sha2::{Digest as _, Sha256};
use std::ops::Bound;
use storage::keys::Key;
use storage::memory::{self, Vm};
use types::limits::{MAX_PAGE, MAX_PAGE_BYTES};
use types::record_kinds::kind_of;
use types::{Answer, Digest, Error, ManifestLeaf, ManifestNode, Page, RecordKind};

/// Most leaves of a leaf node.
const LEAF_SIZE: usize = 16;
const EMPTY: Digest = [0; 32];
pub struct Manifest<M: Memory> {
    leaves: StableBTreeMap<Vec<u8>, Vec<u8>, Vm<M>>,
    nodes: StableBTreeMap<Vec<u8>, Digest, Vm<M>>,
    totals: StableBTreeMap<String, [u8; 32], Vm<M>>,
}

/// What a manifest consists of, by number and bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ManifestTotals {
    pub records: u64,
    pub record_bytes: u64,
    pub blobs: u64,
    pub blob_bytes: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Leaf {
    key_hash: Digest,
    kind: RecordKind,
    digest: Digest,
    /// Bytes of the record or blob; not part of any digest.
    size: u64,
    id: String,
}

/// The key hash of a leaf.
pub fn key_hash(kind: RecordKind, id: &str) -> Digest {
    Sha256::new().chain_update([kind as u8]).chain_update(id).finalize().into()
}

impl<M: Memory> Manifest<M> {
    /// Opens the manifests of a canister, empty the first time.
    pub fn init(memories: &MemoryManager<M>) -> Self {
        Manifest {
            leaves: StableBTreeMap::init(memories.get(memory::MANIFEST_LEAVES)),
            nodes: StableBTreeMap::init(memories.get(memory::MANIFEST_NODES)),
            totals: StableBTreeMap::init(memories.get(memory::MANIFEST_TOTALS)),
        }
    }

    /// Sets a leaf; `size` is the bytes of the record or blob.
    pub fn put(&mut self, capsule: &str, kind: RecordKind, id: &str, digest: &Digest, size: u64) {
        let leaf = Leaf { key_hash: key_hash(kind, id), kind, digest: *digest, size, id: id.to_owned() };
        let key = leaf_key(capsule, &leaf.key_hash);
        let old = self.leaves.insert(key, leaf.encode());
        let old = old.map(|bytes| Leaf::decode(leaf.key_hash, &bytes));
        if old.as_ref() != Some(&leaf) {
            self.forget_nodes(capsule, &leaf.key_hash);
            self.count(capsule, old.as_ref(), Some(&leaf));
        }
    }

    /// Removes a leaf; nothing happens when it is not there.
    pub fn remove(&mut self, capsule: &str, kind: RecordKind, id: &str) {
        let key_hash = key_hash(kind, id);
        if let Some(bytes) = self.leaves.remove(&leaf_key(capsule, &key_hash)) {
            self.forget_nodes(capsule, &key_hash);
            self.count(capsule, Some(&Leaf::decode(key_hash, &bytes)), None);
        }
    }

    /// Removes at most `limit` leaves. True when nothing is left, else call again.
    pub fn clear(&mut self, capsule: &str, limit: usize) -> bool {
        let prefix = Key::default().text(capsule);
        let range = prefix.clone().into_bytes()..prefix.end();
        let keys: Vec<Vec<u8>> = self.leaves.keys_range(range).take(limit).collect();
        for key in &keys {
            let key_hash = hash_of(key);
            let bytes = self.leaves.remove(key).expect("a key that was just read");
            self.forget_nodes(capsule, &key_hash);
            self.count(capsule, Some(&Leaf::decode(key_hash, &bytes)), None);
        }
        keys.len() < limit
    }

    /// Forgets the manifests of all capsules, at once.
    pub fn reset(&mut self) {
        self.leaves.clear_new();
        self.nodes.clear_new();
        self.totals.clear_new();
    }

    /// The root, or None when `budget` inner nodes were not enough: call again, what was computed stays.
    /// An inner node costs about a million instructions; a budget of 100 always gets further.
    pub fn build(&mut self, capsule: &str, budget: u32) -> Option<Digest> {
        let mut budget = budget;
        let trie = self.compute(capsule, &mut Vec::new(), &mut budget)?;
        Some(self.root_over(capsule, &trie))
    }

    /// The root, when it was built and nothing has changed since.
    pub fn root(&self, capsule: &str) -> Option<Digest> {
        let trie = self.known(capsule, &[])?;
        Some(self.root_over(capsule, &trie))
    }

    /// What the manifest consists of.
    pub fn totals(&self, capsule: &str) -> ManifestTotals {
        let bytes = self.totals.get(&capsule.to_owned()).unwrap_or_default();
        let number = |at: usize| u64::from_be_bytes(bytes[at * 8..][..8].try_into().expect("8 bytes"));
        ManifestTotals {
            records: number(0),
            record_bytes: number(1),
            blobs: number(2),
            blob_bytes: number(3),
        }
    }

    /// The node at a run of nibbles, one a byte. Conflict while it is not built.
    pub fn node(&self, capsule: &str, prefix: &[u8]) -> Answer<ManifestNode> {
        if prefix.len() > 64 || prefix.iter().any(|&nibble| nibble > 15) {
            return Err(Error::Invalid("a prefix is up to 64 nibbles, one a byte".into()));
        }
        let leaves = self.first_leaves(capsule, prefix);
        if leaves.len() <= LEAF_SIZE {
            return Ok(ManifestNode::Leaf(leaves.into_iter().map(Leaf::into_public).collect()));
        }
        let child = |nibble: u8| self.known(capsule, &[prefix, &[nibble]].concat()).map(ByteBuf::from);
        let children: Option<Vec<ByteBuf>> = (0..16).map(child).collect();
        let building = || Error::Conflict("the manifest is not built yet".into());
        children.map(ManifestNode::Inner).ok_or_else(building)
    }

    /// The leaves in key-hash order; the cursor is a key hash.
    pub fn leaves(&self, capsule: &str, after: Option<&[u8]>, limit: u32) -> Page<ManifestLeaf, ByteBuf> {
        let prefix = Key::default().text(capsule);
        let start = prefix.clone().bytes(after.unwrap_or_default()).into_bytes();
        let start = if after.is_some() { Bound::Excluded(start) } else { Bound::Included(start) };
        let limit = limit.clamp(1, MAX_PAGE.min((MAX_PAGE_BYTES / 256) as u32)) as usize;
        let mut entries = self.leaves.range((start, Bound::Excluded(prefix.end())));
        let page: Vec<Leaf> = entries
            .by_ref()
            .take(limit)
            .map(|entry| Leaf::decode(hash_of(entry.key()), &entry.value()))
            .collect();
        let next = entries.next().and(page.last()).map(|leaf| ByteBuf::from(leaf.key_hash));
        Page { items: page.into_iter().map(Leaf::into_public).collect(), next }
    }

    fn root_over(&self, capsule: &str, trie: &Digest) -> Digest {
        let totals = self.totals(capsule);
        Sha256::new()
            .chain_update("icmigrate:root")
            .chain_update(totals.records.to_be_bytes())
            .chain_update(totals.blobs.to_be_bytes())
            .chain_update(trie)
            .finalize()
            .into()
    }

    fn compute(&mut self, capsule: &str, prefix: &mut Vec<u8>, budget: &mut u32) -> Option<Digest> {
        if let Some(digest) = self.known(capsule, prefix) {
            return Some(digest);
        }
        *budget = budget.checked_sub(1)?;
        let mut hash = Sha256::new().chain_update("icmigrate:inner");
        for nibble in 0..16 {
            prefix.push(nibble);
            let child = self.compute(capsule, prefix, budget);
            prefix.pop();
            hash.update(child?);
        }
        let digest = hash.finalize().into();
        self.nodes.insert(node_key(capsule, prefix), digest);
        Some(digest)
    }

    /// The digest of a node that needs no work: a leaf node, or an inner node computed before.
    fn known(&self, capsule: &str, prefix: &[u8]) -> Option<Digest> {
        if let Some(digest) = self.nodes.get(&node_key(capsule, prefix)) {
            return Some(digest);
        }
        let leaves = self.first_leaves(capsule, prefix);
        if leaves.is_empty() {
            return Some(EMPTY);
        }
        (leaves.len() <= LEAF_SIZE).then(|| {
            let mut hash = Sha256::new().chain_update("icmigrate:leaf");
            for leaf in &leaves {
                hash.update(leaf.key_hash);
                hash.update(leaf.digest);
            }
            hash.finalize().into()
        })
    }

    /// The leaves below a run of nibbles, but no more than tell that it is an inner node.
    fn first_leaves(&self, capsule: &str, prefix: &[u8]) -> Vec<Leaf> {
        let bound = |fill: u8| {
            let mut hash = [fill; 32];
            for (at, nibble) in prefix.iter().enumerate() {
                let byte = &mut hash[at / 2];
                *byte = if at % 2 == 0 { nibble << 4 | fill & 0x0f } else { *byte & 0xf0 | nibble };
            }
            leaf_key(capsule, &hash)
        };
        self.leaves
            .range(bound(0x00)..=bound(0xff))
            .take(LEAF_SIZE + 1)
            .map(|entry| Leaf::decode(hash_of(entry.key()), &entry.value()))
            .collect()
    }

    /// Forgets the inner nodes above a leaf that was set or removed. An inner node has other leaves
    /// too, so none is longer than what the leaf has in common with its neighbours.
    fn forget_nodes(&mut self, capsule: &str, key_hash: &Digest) {
        let prefix = Key::default().text(capsule);
        let (first, key) = (prefix.clone().into_bytes(), leaf_key(capsule, key_hash));
        let before = self.leaves.range(first..key.clone()).next_back();
        let behind = self.leaves.range((Bound::Excluded(key), Bound::Excluded(prefix.end()))).next();
        let common = [before, behind]
            .into_iter()
            .flatten()
            .map(|neighbour| common_nibbles(&hash_of(neighbour.key()), key_hash))
            .max()
            .unwrap_or(0);
        let nibbles: Vec<u8> = nibbles(key_hash).take(common).collect();
        for length in 0..=nibbles.len() {
            self.nodes.remove(&node_key(capsule, &nibbles[..length]));
        }
    }

    fn count(&mut self, capsule: &str, old: Option<&Leaf>, new: Option<&Leaf>) {
        let mut totals = self.totals(capsule);
        for (leaf, sign) in [(old, -1), (new, 1)] {
            let Some(leaf) = leaf else { continue };
            let (number, bytes) = match leaf.kind {
                RecordKind::Blob => (&mut totals.blobs, &mut totals.blob_bytes),
                _ => (&mut totals.records, &mut totals.record_bytes),
            };
            *number = number.wrapping_add_signed(sign);
            *bytes = if sign > 0 { *bytes + leaf.size } else { *bytes - leaf.size };
        }
        if totals == ManifestTotals::default() {
            self.totals.remove(&capsule.to_owned());
            return;
        }
        let numbers = [totals.records, totals.record_bytes, totals.blobs, totals.blob_bytes];
        let mut bytes = [0; 32];
        for (slot, number) in bytes.chunks_exact_mut(8).zip(numbers) {
            slot.copy_from_slice(&number.to_be_bytes());
        }
        self.totals.insert(capsule.to_owned(), bytes);
    }
}

impl Leaf {
    fn encode(&self) -> Vec<u8> {
        [&[self.kind as u8][..], &self.digest, &self.size.to_be_bytes(), self.id.as_bytes()].concat()
    }

    fn decode(key_hash: Digest, bytes: &[u8]) -> Self {
        let (head, id) = bytes.split_first_chunk::<41>().expect("a leaf has 41 bytes and an id");
        Leaf {
            key_hash,
            kind: kind_of(head[0]).expect("the kind of a leaf"),
            digest: head[1..33].try_into().expect("32 bytes"),
            size: u64::from_be_bytes(head[33..].try_into().expect("8 bytes")),
            id: String::from_utf8(id.to_vec()).expect("the id of a leaf"),
        }
    }

    fn into_public(self) -> ManifestLeaf {
        ManifestLeaf { kind: self.kind, id: self.id, digest: ByteBuf::from(self.digest) }
    }
}

fn leaf_key(capsule: &str, key_hash: &Digest) -> Vec<u8> {
    Key::default().text(capsule).bytes(key_hash).into_bytes()
}

fn node_key(capsule: &str, prefix: &[u8]) -> Vec<u8> {
    Key::default().text(capsule).bytes(prefix).into_bytes()
}

fn hash_of(key: &[u8]) -> Digest {
    *key.last_chunk().expect("the key of a leaf ends with a hash")
}

fn nibbles(hash: &Digest) -> impl Iterator<Item = u8> + '_ {
    hash.iter().flat_map(|byte| [byte >> 4, byte & 0x0f])
}

fn common_nibbles(a: &Digest, b: &Digest) -> usize {
    nibbles(a).zip(nibbles(b)).take_while(|(a, b)| a == b).count()
}

#[cfg(test)]
mod tests;
