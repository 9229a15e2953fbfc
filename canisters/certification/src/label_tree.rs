//! One level of a hash tree (IC interface specification, "Certification"): labels in order, each over
//! the digest of a subtree that is kept, or worked out again, somewhere else.
//!
//! A binary tree with the labels as its leaves, and forks that say which label parts them. It is
//! balanced by height (AVL): with n labels no leaf is deeper than 1.45 log2(n) forks, whatever the
//! labels are and in whatever order they come and go. A trie over the labels' bits would be as
//! deep as somebody likes who chooses labels, and verifiers take witnesses of a bounded depth only.
//!
//! Each fork has the digests of both its sides, so that an operation reads and writes the nodes of one
//! path, and those beside it that a rotation moves. Nothing is kept in the heap but the head.
//!
//! ```text
//! memory: slots of 256 bytes, the head in slot 0; numbers little-endian; what is not named is 0
//!
//!  head   offset 0  "ICML"         magic
//!                4  u8             version, 1
//!                8  u64            labels in the tree
//!               16  u64            slots in use or free, without the head
//!               24  u64            first free slot, 0 for none
//!               32  reference      root; not to be looked at where there is no label
//!  free          0  u8 0
//!                1  u64            next free slot, 0 for none
//!  leaf          0  u8 1
//!                1  u8, [128]      label: length, bytes
//!              130  [32]           digest of the subtree below the label
//!  fork          0  u8 2
//!                1  u8, [128]      parting: every label on the left is below it, none on the right is;
//!                                  not itself a label any more where that was removed
//!              130  reference      left
//!              171  reference      right
//!  reference     0  u64            slot
//!                8  u8             height: 0 of a leaf, else one more than the higher side
//!                9  [32]           digest: of the labelled leaf, or of the fork
//! ```

use ic_certification::hash_tree::{fork_hash, labeled_hash};
use ic_certification::{empty, fork as join, labeled, pruned, HashTree};
use ic_stable_structures::Memory;
use std::cmp::Ordering;

/// Longest label, in bytes.
pub const MAX_LABEL: usize = 128;

type Digest = [u8; 32];

const MAGIC: &[u8; 4] = b"ICML";
const VERSION: u8 = 1;
const PAGE: u64 = 65536;
const SLOT: usize = 256;
const REFERENCE: usize = 41;
const LABEL_AT: usize = 1;
const CONTENT_AT: usize = LABEL_AT + 1 + MAX_LABEL;
const ROOT_AT: usize = 32;

const FREE: u8 = 0;
const LEAF: u8 = 1;
const FORK: u8 = 2;

/// A certified sorted map in a stable memory of its own: label -> digest of the subtree below it.
pub struct LabelTree<M: Memory> {
    memory: M,
    head: Head,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Head {
    labels: u64,
    slots: u64,
    free: u64,
    root: Reference,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Reference {
    slot: u64,
    height: u8,
    digest: Digest,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Leaf {
    label: Vec<u8>,
    content: Digest,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Fork {
    parting: Vec<u8>,
    left: Reference,
    right: Reference,
}

enum Node {
    Leaf(Leaf),
    Fork(Fork),
}

/// What became of a subtree that a label was removed from.
enum Removal {
    NotThere,
    /// It was the label's leaf.
    Gone,
    Smaller(Reference),
}

/// Which label, besides those on the path, proves that one is not there.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Neighbour {
    None,
    Before,
    Behind,
}

impl<M: Memory> LabelTree<M> {
    /// Opens the tree of a memory, empty where the memory is. Reads the head alone.
    ///
    /// Panics where the memory holds something else.
    pub fn init(memory: M) -> Self {
        let mut tree = LabelTree { memory, head: Head::default() };
        if tree.memory.size() == 0 {
            tree.save_head();
        } else {
            let slot = tree.read_slot(0);
            assert_eq!(&slot[..4], MAGIC, "this memory does not hold a label tree");
            assert_eq!(slot[4], VERSION, "a label tree of another version");
            tree.head = Head {
                labels: number(&slot, 8),
                slots: number(&slot, 16),
                free: number(&slot, 24),
                root: Reference::decode(&slot[ROOT_AT..]),
            };
        }
        tree
    }

    /// How many labels there are.
    pub fn len(&self) -> u64 {
        self.head.labels
    }

    pub fn is_empty(&self) -> bool {
        self.head.labels == 0
    }

    /// The digest of the whole level.
    pub fn root_hash(&self) -> Digest {
        if self.is_empty() {
            return empty().digest();
        }
        self.head.root.digest
    }

    /// The digest below a label.
    pub fn get(&self, label: &[u8]) -> Option<Digest> {
        let leaf = self.leaf_at(label)?;
        (leaf.label == label).then_some(leaf.content)
    }

    pub fn contains(&self, label: &[u8]) -> bool {
        self.get(label).is_some()
    }

    /// The first label that is not below this one.
    pub fn first_from(&self, label: &[u8]) -> Option<Vec<u8>> {
        let leaf = self.leaf_at(label)?;
        if leaf.label.as_slice() >= label {
            return Some(leaf.label);
        }
        // The place of the label is behind this leaf: the next one is the first right of the last turn left.
        let (mut at, mut behind) = (self.head.root, None);
        while let Node::Fork(fork) = self.read(at) {
            if label < fork.parting.as_slice() {
                behind = Some(fork.right);
                at = fork.left;
            } else {
                at = fork.right;
            }
        }
        behind.map(|side| self.first_leaf(side).label)
    }

    /// Sets the digest below a label of at most [`MAX_LABEL`] bytes.
    pub fn insert(&mut self, label: &[u8], content: &Digest) {
        assert!(label.len() <= MAX_LABEL, "a label has at most {MAX_LABEL} bytes");
        let leaf = Leaf { label: label.to_vec(), content: *content };
        self.head.root =
            if self.is_empty() { self.add_leaf(&leaf) } else { self.insert_below(self.head.root, &leaf) };
        self.save_head();
    }

    /// Removes a label; false where it is not there.
    pub fn remove(&mut self, label: &[u8]) -> bool {
        if self.is_empty() {
            return false;
        }
        match self.remove_below(self.head.root, label) {
            Removal::NotThere => return false,
            Removal::Gone => self.head.root = Reference::default(),
            Removal::Smaller(root) => self.head.root = root,
        }
        self.head.labels -= 1;
        self.save_head();
        true
    }

    /// Removes every label, at once.
    pub fn clear(&mut self) {
        self.head = Head::default();
        self.save_head();
    }

    /// The level with one label in view, and below it what `reveal` makes of its digest, or with the
    /// proof that there is no such label: its neighbours. Everything else is pruned.
    pub fn witness(&self, label: &[u8], reveal: impl FnOnce(Digest) -> HashTree) -> HashTree {
        if self.is_empty() {
            return empty();
        }
        self.witness_below(self.head.root, label, reveal).0
    }

    fn insert_below(&mut self, at: Reference, leaf: &Leaf) -> Reference {
        let mut fork = match self.read(at) {
            Node::Leaf(found) => {
                return match leaf.label.cmp(&found.label) {
                    Ordering::Equal => self.put_leaf(at.slot, leaf),
                    Ordering::Less => {
                        let left = self.add_leaf(leaf);
                        self.add_fork(Fork { parting: found.label, left, right: at })
                    }
                    Ordering::Greater => {
                        let right = self.add_leaf(leaf);
                        self.add_fork(Fork { parting: leaf.label.clone(), left: at, right })
                    }
                }
            }
            Node::Fork(fork) => fork,
        };
        let side = fork.side(&leaf.label);
        *side = self.insert_below(*side, leaf);
        self.settle(at.slot, fork)
    }

    fn remove_below(&mut self, at: Reference, label: &[u8]) -> Removal {
        let mut fork = match self.read(at) {
            Node::Leaf(found) if found.label == label => {
                self.release(at.slot);
                return Removal::Gone;
            }
            Node::Leaf(_) => return Removal::NotThere,
            Node::Fork(fork) => fork,
        };
        match self.remove_below(*fork.side(label), label) {
            Removal::NotThere => Removal::NotThere,
            Removal::Gone => {
                self.release(at.slot);
                Removal::Smaller(if label < fork.parting.as_slice() { fork.right } else { fork.left })
            }
            Removal::Smaller(side) => {
                *fork.side(label) = side;
                Removal::Smaller(self.settle(at.slot, fork))
            }
        }
    }

    /// Writes a fork whose sides may differ in height by 2, balanced again.
    fn settle(&mut self, slot: u64, fork: Fork) -> Reference {
        let Fork { parting, left, right } = fork;
        let fork = if left.height > right.height + 1 {
            let heavy = self.read_fork(left);
            if heavy.left.height >= heavy.right.height {
                let right = self.put_fork(left.slot, &Fork { parting, left: heavy.right, right });
                Fork { parting: heavy.parting, left: heavy.left, right }
            } else {
                let middle = self.read_fork(heavy.right);
                let inner = Fork { parting, left: middle.right, right };
                let right = self.put_fork(heavy.right.slot, &inner);
                let left = self.put_fork(left.slot, &Fork { right: middle.left, ..heavy });
                Fork { parting: middle.parting, left, right }
            }
        } else if right.height > left.height + 1 {
            let heavy = self.read_fork(right);
            if heavy.right.height >= heavy.left.height {
                let left = self.put_fork(right.slot, &Fork { parting, left, right: heavy.left });
                Fork { parting: heavy.parting, left, right: heavy.right }
            } else {
                let middle = self.read_fork(heavy.left);
                let inner = Fork { parting, left, right: middle.left };
                let left = self.put_fork(heavy.left.slot, &inner);
                let right = self.put_fork(right.slot, &Fork { left: middle.right, ..heavy });
                Fork { parting: middle.parting, left, right }
            }
        } else {
            Fork { parting, left, right }
        };
        self.put_fork(slot, &fork)
    }

    fn witness_below(
        &self,
        at: Reference,
        label: &[u8],
        reveal: impl FnOnce(Digest) -> HashTree,
    ) -> (HashTree, Neighbour) {
        let fork = match self.read(at) {
            Node::Leaf(leaf) => {
                return match leaf.label.as_slice().cmp(label) {
                    Ordering::Equal => (labeled(leaf.label, reveal(leaf.content)), Neighbour::None),
                    Ordering::Less => (leaf.in_view(), Neighbour::Behind),
                    Ordering::Greater => (leaf.in_view(), Neighbour::Before),
                }
            }
            Node::Fork(fork) => fork,
        };
        if label < fork.parting.as_slice() {
            match self.witness_below(fork.left, label, reveal) {
                (left, Neighbour::Behind) => (join(left, self.first_in_view(fork.right)), Neighbour::None),
                (left, needed) => (join(left, pruned(fork.right.digest)), needed),
            }
        } else {
            match self.witness_below(fork.right, label, reveal) {
                (right, Neighbour::Before) => (join(self.last_in_view(fork.left), right), Neighbour::None),
                (right, needed) => (join(pruned(fork.left.digest), right), needed),
            }
        }
    }

    fn first_in_view(&self, at: Reference) -> HashTree {
        match self.read(at) {
            Node::Leaf(leaf) => leaf.in_view(),
            Node::Fork(fork) => join(self.first_in_view(fork.left), pruned(fork.right.digest)),
        }
    }

    fn last_in_view(&self, at: Reference) -> HashTree {
        match self.read(at) {
            Node::Leaf(leaf) => leaf.in_view(),
            Node::Fork(fork) => join(pruned(fork.left.digest), self.last_in_view(fork.right)),
        }
    }

    /// The leaf where a label is, or one beside its place.
    fn leaf_at(&self, label: &[u8]) -> Option<Leaf> {
        if self.is_empty() {
            return None;
        }
        let mut at = self.head.root;
        loop {
            match self.read(at) {
                Node::Leaf(leaf) => return Some(leaf),
                Node::Fork(mut fork) => at = *fork.side(label),
            }
        }
    }

    fn first_leaf(&self, mut at: Reference) -> Leaf {
        loop {
            match self.read(at) {
                Node::Leaf(leaf) => return leaf,
                Node::Fork(fork) => at = fork.left,
            }
        }
    }

    fn add_leaf(&mut self, leaf: &Leaf) -> Reference {
        self.head.labels += 1;
        let slot = self.take_slot();
        self.put_leaf(slot, leaf)
    }

    fn add_fork(&mut self, fork: Fork) -> Reference {
        let slot = self.take_slot();
        self.put_fork(slot, &fork)
    }

    fn put_leaf(&mut self, slot: u64, leaf: &Leaf) -> Reference {
        let mut bytes = with_label(LEAF, &leaf.label);
        bytes[CONTENT_AT..][..32].copy_from_slice(&leaf.content);
        self.write_slot(slot, &bytes);
        Reference { slot, height: 0, digest: labeled_hash(&leaf.label, &leaf.content) }
    }

    fn put_fork(&mut self, slot: u64, fork: &Fork) -> Reference {
        let mut bytes = with_label(FORK, &fork.parting);
        fork.left.encode(&mut bytes[CONTENT_AT..]);
        fork.right.encode(&mut bytes[CONTENT_AT + REFERENCE..]);
        self.write_slot(slot, &bytes);
        Reference {
            slot,
            height: 1 + fork.left.height.max(fork.right.height),
            digest: fork_hash(&fork.left.digest, &fork.right.digest),
        }
    }

    fn read(&self, at: Reference) -> Node {
        let slot = self.read_slot(at.slot);
        let label = slot[LABEL_AT + 1..][..slot[LABEL_AT] as usize].to_vec();
        match slot[0] {
            LEAF => {
                Node::Leaf(Leaf { label, content: slot[CONTENT_AT..][..32].try_into().expect("32 bytes") })
            }
            FORK => Node::Fork(Fork {
                parting: label,
                left: Reference::decode(&slot[CONTENT_AT..]),
                right: Reference::decode(&slot[CONTENT_AT + REFERENCE..]),
            }),
            _ => panic!("a reference to a slot without a node"),
        }
    }

    fn read_fork(&self, at: Reference) -> Fork {
        match self.read(at) {
            Node::Fork(fork) => fork,
            Node::Leaf(_) => panic!("a leaf that is said to have a height"),
        }
    }

    fn take_slot(&mut self) -> u64 {
        match self.head.free {
            0 => {
                self.head.slots += 1;
                self.head.slots
            }
            slot => {
                self.head.free = number(&self.read_slot(slot), 1);
                slot
            }
        }
    }

    fn release(&mut self, slot: u64) {
        let mut bytes = [0; SLOT];
        bytes[0] = FREE;
        bytes[1..9].copy_from_slice(&self.head.free.to_le_bytes());
        self.write_slot(slot, &bytes);
        self.head.free = slot;
    }

    fn save_head(&mut self) {
        let mut bytes = [0; SLOT];
        bytes[..4].copy_from_slice(MAGIC);
        bytes[4] = VERSION;
        bytes[8..16].copy_from_slice(&self.head.labels.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.head.slots.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.head.free.to_le_bytes());
        self.head.root.encode(&mut bytes[ROOT_AT..]);
        self.write_slot(0, &bytes);
    }

    fn read_slot(&self, slot: u64) -> [u8; SLOT] {
        let mut bytes = [0; SLOT];
        self.memory.read(slot * SLOT as u64, &mut bytes);
        bytes
    }

    /// Panics where stable memory cannot grow, as the stable maps do: the message has no effect then.
    fn write_slot(&mut self, slot: u64, bytes: &[u8; SLOT]) {
        let offset = slot * SLOT as u64;
        // a slot never straddles pages, and slots are taken one by one
        if offset / PAGE >= self.memory.size() {
            assert!(self.memory.grow(1) >= 0, "no stable memory left");
        }
        self.memory.write(offset, bytes);
    }
}

impl Reference {
    fn encode(&self, bytes: &mut [u8]) {
        bytes[..8].copy_from_slice(&self.slot.to_le_bytes());
        bytes[8] = self.height;
        bytes[9..REFERENCE].copy_from_slice(&self.digest);
    }

    fn decode(bytes: &[u8]) -> Self {
        Reference {
            slot: number(bytes, 0),
            height: bytes[8],
            digest: bytes[9..REFERENCE].try_into().expect("32 bytes"),
        }
    }
}

impl Leaf {
    fn in_view(self) -> HashTree {
        labeled(self.label, pruned(self.content))
    }
}

impl Fork {
    /// Where a label is, if it is below this fork.
    fn side(&mut self, label: &[u8]) -> &mut Reference {
        if label < self.parting.as_slice() {
            &mut self.left
        } else {
            &mut self.right
        }
    }
}

fn with_label(kind: u8, label: &[u8]) -> [u8; SLOT] {
    let mut bytes = [0; SLOT];
    bytes[0] = kind;
    bytes[LABEL_AT] = label.len() as u8;
    bytes[LABEL_AT + 1..][..label.len()].copy_from_slice(label);
    bytes
}

fn number(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("8 bytes"))
}

#[cfg(test)]
mod tests;
