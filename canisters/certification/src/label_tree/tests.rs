use super::*;
use ic_certification::hash_tree::HashTreeNode;
use ic_certification::{leaf, AsHashTree, LookupResult, RbTree};
use ic_stable_structures::VectorMemory;
use proptest::prelude::*;
use std::cell::Cell;
use std::collections::BTreeMap;
use std::rc::Rc;

/// A memory that counts how often it is read and written.
#[derive(Clone, Default)]
struct Counting {
    memory: VectorMemory,
    touches: Rc<Cell<u64>>,
}

impl Memory for Counting {
    fn size(&self) -> u64 {
        self.memory.size()
    }

    fn grow(&self, pages: u64) -> i64 {
        self.memory.grow(pages)
    }

    fn read(&self, offset: u64, bytes: &mut [u8]) {
        self.touches.set(self.touches.get() + 1);
        self.memory.read(offset, bytes);
    }

    fn write(&self, offset: u64, bytes: &[u8]) {
        self.touches.set(self.touches.get() + 1);
        self.memory.write(offset, bytes);
    }
}

impl Counting {
    fn during<T>(&self, act: impl FnOnce() -> T) -> (u64, T) {
        let before = self.touches.get();
        let answer = act();
        (self.touches.get() - before, answer)
    }
}

fn content(number: u8) -> (Vec<u8>, Digest) {
    let value = vec![number; 3];
    let digest = leaf(value.clone()).digest();
    (value, digest)
}

fn depth(tree: &HashTree) -> usize {
    fn of(node: &HashTreeNode<Vec<u8>>) -> usize {
        match node {
            HashTreeNode::Fork(sides) => 1 + of(&sides.0).max(of(&sides.1)),
            HashTreeNode::Labeled(_, below) => 1 + of(below),
            _ => 0,
        }
    }
    of(tree.as_ref())
}

/// Recomputes every digest, height and number from what is in the slots, and demands order and balance.
fn check<M: Memory>(tree: &LabelTree<M>) -> Vec<Vec<u8>> {
    fn walk<M: Memory>(tree: &LabelTree<M>, at: Reference, labels: &mut Vec<Vec<u8>>) {
        match tree.read(at) {
            Node::Leaf(leaf) => {
                assert_eq!((at.height, at.digest), (0, labeled_hash(&leaf.label, &leaf.content)));
                labels.push(leaf.label);
            }
            Node::Fork(fork) => {
                assert!(fork.left.height.abs_diff(fork.right.height) <= 1, "not balanced");
                assert_eq!(at.height, 1 + fork.left.height.max(fork.right.height));
                assert_eq!(at.digest, fork_hash(&fork.left.digest, &fork.right.digest));
                walk(tree, fork.left, labels);
                let on_the_left = labels.len();
                assert!(labels[on_the_left - 1] < fork.parting);
                walk(tree, fork.right, labels);
                assert!(fork.parting <= labels[on_the_left]);
            }
        }
    }
    let mut labels = Vec::new();
    if !tree.is_empty() {
        walk(tree, tree.head.root, &mut labels);
    }
    let mut free = 0;
    let mut slot = tree.head.free;
    while slot != 0 {
        free += 1;
        slot = number(&tree.read_slot(slot), 1);
    }
    let nodes = (2 * labels.len()).saturating_sub(1) as u64;
    assert_eq!((tree.len(), tree.head.slots), (labels.len() as u64, nodes + free), "a slot got lost");
    labels
}

/// What verifiers make of the witness of a label is what they make of the plain tree's.
fn check_witness<M: Memory>(tree: &LabelTree<M>, oracle: &BTreeMap<Vec<u8>, u8>, label: &[u8]) {
    let value = oracle.get(label).map(|&number| content(number));
    let witness = tree.witness(label, |digest| {
        let (value, expected) = value.clone().expect("nothing is revealed that is not there");
        assert_eq!(digest, expected);
        leaf(value)
    });
    assert_eq!(witness.digest(), tree.root_hash());
    let plain: RbTree<Vec<u8>, Vec<u8>> =
        oracle.iter().map(|(label, &number)| (label.clone(), content(number).0)).collect();
    assert_eq!(witness.lookup_path([label]), plain.witness(label).lookup_path([label]));
    let expected = value.as_ref().map_or(LookupResult::Absent, |(value, _)| LookupResult::Found(value));
    assert_eq!(witness.lookup_path([label]), expected);
    assert_eq!(tree.get(label), value.map(|(_, digest)| digest));
    assert_eq!(tree.contains(label), oracle.contains_key(label));
    let first = oracle.range(label.to_vec()..).next().map(|(label, _)| label.clone());
    assert_eq!(tree.first_from(label), first);
    let at_most = (1.4405 * ((tree.len() + 2) as f64).log2()) as usize + 1;
    assert!(depth(&witness) <= at_most.max(1), "a witness of depth {} of {}", depth(&witness), tree.len());
}

#[derive(Clone, Debug)]
enum Step {
    Insert(Vec<u8>, u8),
    Remove(Vec<u8>),
    RemoveOne(prop::sample::Index),
    Clear,
    Reopen,
}

/// Few different bytes: labels meet again, and are prefixes of each other, the empty one of all.
fn label() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        8 => prop::collection::vec(prop::sample::select(vec![0, 1, b'a', 127, 128, 255]), 0..4),
        1 => prop::collection::vec(any::<u8>(), 0..=MAX_LABEL),
        1 => (0..=MAX_LABEL).prop_map(|length| vec![b'a'; length]),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        60 => (label(), any::<u8>()).prop_map(|(label, number)| Step::Insert(label, number)),
        15 => label().prop_map(Step::Remove),
        25 => any::<prop::sample::Index>().prop_map(Step::RemoveOne),
        1 => Just(Step::Clear),
        4 => Just(Step::Reopen),
    ]
}

proptest! {
    #[test]
    fn it_is_a_map_whose_witnesses_hold(
        steps in prop::collection::vec(step(), 1..120),
        asked in prop::collection::vec(label(), 12),
    ) {
        let memory = VectorMemory::default();
        let mut tree = LabelTree::init(memory.clone());
        let mut oracle = BTreeMap::new();
        for step in steps {
            match step {
                Step::Insert(label, number) => {
                    tree.insert(&label, &content(number).1);
                    oracle.insert(label, number);
                }
                Step::Remove(label) => {
                    prop_assert_eq!(tree.remove(&label), oracle.remove(&label).is_some());
                }
                Step::RemoveOne(index) if !oracle.is_empty() => {
                    let label = oracle.keys().nth(index.index(oracle.len())).unwrap().clone();
                    oracle.remove(&label);
                    prop_assert!(tree.remove(&label));
                }
                Step::RemoveOne(_) => {}
                Step::Clear => {
                    tree.clear();
                    oracle.clear();
                }
                Step::Reopen => tree = LabelTree::init(memory.clone()),
            }
            prop_assert_eq!(check(&tree), oracle.keys().cloned().collect::<Vec<_>>());
        }
        for label in oracle.keys().chain(&asked) {
            check_witness(&tree, &oracle, label);
        }
    }
}

#[test]
fn an_empty_tree_proves_that_anything_is_absent() {
    let tree = LabelTree::init(VectorMemory::default());
    assert_eq!(tree.root_hash(), RbTree::<Vec<u8>, Vec<u8>>::new().root_hash());
    check_witness(&tree, &BTreeMap::new(), b"");
    check_witness(&tree, &BTreeMap::new(), &[7; 1_000]);
}

#[test]
fn labels_that_begin_with_each_other_are_told_apart() {
    let mut tree = LabelTree::init(VectorMemory::default());
    let mut oracle = BTreeMap::new();
    for (number, label) in [&b""[..], b"\0", b"\0\0", b"a", b"a\0", b"aa", b"ab", b"\xff"].iter().enumerate()
    {
        tree.insert(label, &content(number as u8).1);
        oracle.insert(label.to_vec(), number as u8);
    }
    for label in [&b""[..], b"\0", b"\0\0", b"\0\0\0", b"a", b"a\0", b"a\0\0", b"a\x01", b"b", b"\xff\xff"] {
        check_witness(&tree, &oracle, label);
    }
}

#[test]
fn a_tree_opened_again_is_the_same_without_work() {
    let memory = Counting::default();
    let mut tree = LabelTree::init(memory.clone());
    (0..1_000u32).for_each(|number| tree.insert(&number.to_be_bytes(), &content(number as u8).1));
    let (touches, again) = memory.during(|| LabelTree::init(memory.clone()));
    assert_eq!(touches, 1);
    assert_eq!((again.root_hash(), again.len()), (tree.root_hash(), 1_000));
}

#[test]
fn removed_slots_are_used_again() {
    let memory = VectorMemory::default();
    let mut tree = LabelTree::init(memory.clone());
    for round in 0..20u8 {
        (0..300u32)
            .for_each(|number| tree.insert(&[number.to_be_bytes(), [round; 4]].concat(), &[round; 32]));
        while let Some(label) = tree.first_from(b"") {
            tree.remove(&label);
        }
    }
    assert!(check(&tree).is_empty());
    assert_eq!(memory.size(), 3, "599 nodes and the head");
}

#[test]
#[should_panic(expected = "at most 128 bytes")]
fn a_longer_label_is_refused() {
    LabelTree::init(VectorMemory::default()).insert(&[0; MAX_LABEL + 1], &[0; 32]);
}

#[test]
#[should_panic(expected = "does not hold a label tree")]
fn a_memory_of_something_else_is_refused() {
    let memory = VectorMemory::default();
    memory.grow(1);
    LabelTree::init(memory);
}

/// Whoever chooses the labels makes no operation dearer and no witness deeper.
#[test]
fn every_operation_on_ten_thousand_hostile_labels_touches_few_nodes() {
    const LABELS: usize = 10_000;
    // each begins with the one before as far as 128 bytes go: what makes a trie over bits deep
    let nested = |number: usize| {
        let mut label = vec![0xa5; number % MAX_LABEL];
        label.push((number / MAX_LABEL) as u8);
        label
    };
    let rising = |number: usize| (number as u64).to_be_bytes().to_vec();
    let falling = |number: usize| (u64::MAX - number as u64).to_be_bytes().to_vec();
    let from_both_ends = |number: usize| [rising, falling][number % 2](number);
    let orders: [&dyn Fn(usize) -> Vec<u8>; 4] = [&nested, &rising, &falling, &from_both_ends];
    for label in orders {
        let memory = Counting::default();
        let mut tree = LabelTree::init(memory.clone());
        let (mut most_written, mut most_read, mut most_removed, mut deepest) = (0, 0, 0, 0);
        for number in 0..LABELS {
            let (touches, ()) = memory.during(|| tree.insert(&label(number), &[number as u8; 32]));
            most_written = most_written.max(touches);
        }
        assert_eq!(check(&tree).len(), LABELS);
        for number in (0..LABELS).step_by(7) {
            let absent = [label(number), vec![0]].concat();
            for asked in [&label(number), &absent] {
                let (touches, witness) = memory.during(|| tree.witness(asked, pruned));
                assert_eq!(witness.digest(), tree.root_hash());
                most_read = most_read.max(touches);
                deepest = deepest.max(depth(&witness));
            }
        }
        for number in (0..LABELS).step_by(3).chain((0..LABELS).rev()) {
            let (touches, _) = memory.during(|| tree.remove(&label(number)));
            most_removed = most_removed.max(touches);
        }
        assert!(tree.is_empty());
        println!("insert {most_written}, witness {most_read}, remove {most_removed}, depth {deepest}");
        assert!(most_written <= 48 && most_read <= 36 && most_removed <= 64 && deepest <= 19);
    }
}
