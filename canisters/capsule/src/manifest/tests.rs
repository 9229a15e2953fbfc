use super::*;
use ic_stable_structures::VectorMemory;
use proptest::prelude::*;
use std::collections::BTreeMap;
use types::record_kinds::KINDS;

const ALWAYS_ENOUGH: u32 = u32::MAX;

fn open(memory: &VectorMemory) -> Manifest<VectorMemory> {
    Manifest::init(&memory::manager(memory.clone(), 1))
}

type Leaves = BTreeMap<(RecordKind, String), Digest>;

/// The root as the head of manifest.rs defines it, over plain collections.
fn naive_root(leaves: &Leaves) -> Digest {
    let sorted: BTreeMap<Digest, Digest> =
        leaves.iter().map(|((kind, id), digest)| (key_hash(*kind, id), *digest)).collect();
    let blobs = leaves.keys().filter(|(kind, _)| *kind == RecordKind::Blob).count() as u64;
    let numbers = [leaves.len() as u64 - blobs, blobs].map(u64::to_be_bytes).concat();
    let sorted: Vec<(Digest, Digest)> = sorted.into_iter().collect();
    Sha256::digest([b"icmigrate:root", &numbers[..], &naive_node(&sorted, 0)].concat()).into()
}

fn naive_node(leaves: &[(Digest, Digest)], depth: usize) -> Digest {
    if leaves.is_empty() {
        return EMPTY;
    }
    if leaves.len() <= 16 {
        let pairs: Vec<u8> = leaves.iter().flat_map(|(hash, digest)| [*hash, *digest].concat()).collect();
        return Sha256::digest([b"icmigrate:leaf", &pairs[..]].concat()).into();
    }
    let children: Vec<u8> = (0..16)
        .flat_map(|nibble| {
            let below: Vec<_> =
                leaves.iter().filter(|(hash, _)| nibbles(hash).nth(depth) == Some(nibble)).copied().collect();
            naive_node(&below, depth + 1)
        })
        .collect();
    Sha256::digest([b"icmigrate:inner", &children[..]].concat()).into()
}

fn fill(manifest: &mut Manifest<VectorMemory>, capsule: &str, count: u32) -> Leaves {
    let mut leaves = Leaves::new();
    for number in 0..count {
        let kind = KINDS[number as usize % 8];
        let digest: Digest = Sha256::digest(number.to_be_bytes()).into();
        manifest.put(capsule, kind, &format!("id {number}"), &digest, 1);
        leaves.insert((kind, format!("id {number}")), digest);
    }
    leaves
}

#[test]
fn the_root_of_known_leaves_is_known() {
    let mut manifest = open(&VectorMemory::default());
    manifest.put("c", RecordKind::Folder, "f", &[7; 32], 1);
    let leaf = Sha256::digest([b"icmigrate:leaf", &Sha256::digest(b"\x02f")[..], &[7; 32]].concat());
    let root: Digest =
        Sha256::digest([b"icmigrate:root\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0\0", &leaf[..]].concat()).into();
    assert_eq!(manifest.build("c", 1), Some(root));
    assert_eq!(manifest.root("c"), Some(root));
}

#[test]
fn every_single_difference_changes_the_root() {
    let mut manifest = open(&VectorMemory::default());
    let leaves = fill(&mut manifest, "c", 40);
    let root = manifest.build("c", ALWAYS_ENOUGH);
    for ((kind, id), digest) in &leaves {
        let mut other = *digest;
        other[31] ^= 1;
        manifest.put("c", *kind, id, &other, 1);
        assert_ne!(manifest.build("c", ALWAYS_ENOUGH), root);
        manifest.remove("c", *kind, id);
        assert_ne!(manifest.build("c", ALWAYS_ENOUGH), root);
        manifest.put("c", *kind, id, digest, 1);
        assert_eq!(manifest.build("c", ALWAYS_ENOUGH), root);
    }
    manifest.put("c", RecordKind::Memory, "one more", &[0; 32], 1);
    assert_ne!(manifest.build("c", ALWAYS_ENOUGH), root);
    assert_ne!(key_hash(RecordKind::Memory, "x"), key_hash(RecordKind::Folder, "x"));
}

#[test]
fn a_small_budget_gets_there_by_and_by() {
    let mut manifest = open(&VectorMemory::default());
    let leaves = fill(&mut manifest, "c", 2_000);
    assert_eq!(manifest.root("c"), None);
    assert!(matches!(manifest.node("c", &[]), Err(Error::Conflict(_))));
    let mut calls = 0;
    let root = loop {
        calls += 1;
        if let Some(root) = manifest.build("c", 5) {
            break root;
        }
    };
    assert!(calls > 3);
    assert_eq!(root, naive_root(&leaves));
}

#[test]
fn a_difference_is_found_by_walking_down() {
    let mut manifest = open(&VectorMemory::default());
    fill(&mut manifest, "a", 1_000);
    fill(&mut manifest, "b", 1_000);
    manifest.put("b", RecordKind::Capsule, "id 504", &[1; 32], 1);
    manifest.build("a", ALWAYS_ENOUGH).unwrap();
    manifest.build("b", ALWAYS_ENOUGH).unwrap();
    let mut prefix = Vec::new();
    let differing = loop {
        match (manifest.node("a", &prefix).unwrap(), manifest.node("b", &prefix).unwrap()) {
            (ManifestNode::Inner(a), ManifestNode::Inner(b)) => {
                let differing: Vec<usize> = (0..16).filter(|&at| a[at] != b[at]).collect();
                assert_eq!(differing.len(), 1);
                prefix.push(differing[0] as u8);
            }
            (ManifestNode::Leaf(a), ManifestNode::Leaf(b)) => {
                break a.into_iter().zip(b).filter(|(a, b)| a != b).map(|(a, _)| a.id).collect::<Vec<_>>()
            }
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(differing, ["id 504"]);
    assert!(matches!(manifest.node("a", &[16]), Err(Error::Invalid(_))));
    assert!(matches!(manifest.node("a", &[0; 65]), Err(Error::Invalid(_))));
    assert_eq!(manifest.node("a", &[0; 64]).unwrap(), ManifestNode::Leaf(Vec::new()));
}

#[test]
fn pages_hold_every_leaf_once() {
    let mut manifest = open(&VectorMemory::default());
    fill(&mut manifest, "a", 7);
    let leaves = fill(&mut manifest, "c", 50);
    fill(&mut manifest, "d", 7);
    let mut found = Leaves::new();
    let mut after: Option<ByteBuf> = None;
    loop {
        let page = manifest.leaves("c", after.as_ref().map(|cursor| &cursor[..]), 7);
        for leaf in page.items {
            let digest = leaf.digest.into_vec().try_into().unwrap();
            assert!(found.insert((leaf.kind, leaf.id), digest).is_none());
        }
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(found, leaves);
}

#[test]
fn clearing_one_capsule_leaves_the_others() {
    let mut manifest = open(&VectorMemory::default());
    fill(&mut manifest, "a", 100);
    let kept = fill(&mut manifest, "b", 100);
    manifest.build("a", ALWAYS_ENOUGH);
    assert!(!manifest.clear("a", 60));
    assert!(manifest.clear("a", 60));
    assert_eq!(manifest.totals("a"), ManifestTotals::default());
    assert_eq!(manifest.build("b", ALWAYS_ENOUGH), Some(naive_root(&kept)));
    assert_eq!(manifest.nodes.keys().filter(|key| key.starts_with(b"a\0")).count(), 0);
}

#[derive(Clone, Debug)]
enum Step {
    Put(u16, u8),
    Remove(u16),
    Build(u32),
    Reopen,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        10 => (0..400u16, any::<u8>()).prop_map(|(id, digest)| Step::Put(id, digest)),
        4 => (0..400u16).prop_map(Step::Remove),
        1 => (0..40u32).prop_map(Step::Build),
        1 => Just(Step::Reopen),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn the_root_is_that_of_the_set_however_it_came_about(steps in prop::collection::vec(step(), 1..300)) {
        let memory = VectorMemory::default();
        let mut manifest = open(&memory);
        let mut leaves = Leaves::new();
        for step in steps {
            match step {
                Step::Put(id, digest) => {
                    let kind = KINDS[id as usize % 8];
                    manifest.put("c", kind, &id.to_string(), &[digest; 32], u64::from(digest));
                    leaves.insert((kind, id.to_string()), [digest; 32]);
                }
                Step::Remove(id) => {
                    let kind = KINDS[id as usize % 8];
                    manifest.remove("c", kind, &id.to_string());
                    leaves.remove(&(kind, id.to_string()));
                }
                Step::Build(budget) => {
                    let built = manifest.build("c", budget);
                    prop_assert!(built.is_none_or(|root| root == naive_root(&leaves)));
                }
                Step::Reopen => manifest = open(&memory),
            }
        }
        prop_assert_eq!(manifest.build("c", ALWAYS_ENOUGH), Some(naive_root(&leaves)));
        let is_blob = |kind: RecordKind| kind == RecordKind::Blob;
        let mut totals = ManifestTotals::default();
        for ((kind, _), digest) in &leaves {
            let (number, bytes) = if is_blob(*kind) {
                (&mut totals.blobs, &mut totals.blob_bytes)
            } else {
                (&mut totals.records, &mut totals.record_bytes)
            };
            *number += 1;
            *bytes += u64::from(digest[0]);
        }
        prop_assert_eq!(manifest.totals("c"), totals);
    }
}
