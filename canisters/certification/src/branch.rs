//! A small branch of a hash tree, made in the heap for one answer.

use ic_certification::hash_tree::{fork_hash, labeled_hash, leaf_hash};
use ic_certification::{empty, fork, labeled, leaf, pruned, HashTree};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

type Digest = [u8; 32];

/// What is below a label.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Branch {
    /// Something of which only the digest is known.
    Pruned(Digest),
    Leaf(Vec<u8>),
    Level(BTreeMap<Vec<u8>, Branch>),
}

impl Default for Branch {
    fn default() -> Self {
        Branch::Level(BTreeMap::new())
    }
}

impl Branch {
    /// Puts a branch at the end of a path. What was there, and what is in the path's way, is gone.
    pub fn insert<'a>(&mut self, path: impl IntoIterator<Item = &'a [u8]>, branch: Branch) {
        let mut at = self;
        for label in path {
            if !matches!(at, Branch::Level(_)) {
                *at = Branch::default();
            }
            let Branch::Level(level) = at else { unreachable!("it was just made one") };
            at = level.entry(label.to_vec()).or_default();
        }
        *at = branch;
    }

    pub fn digest(&self) -> Digest {
        match self {
            Branch::Pruned(digest) => *digest,
            Branch::Leaf(value) => leaf_hash(value),
            Branch::Level(level) => {
                let entries: Vec<_> = level.iter().collect();
                digest_of(&entries)
            }
        }
    }

    /// The branch with these paths in view, or the proof that they are not there; the rest is pruned.
    pub fn view(&self, paths: &[&[Vec<u8>]]) -> HashTree {
        let level = match self {
            Branch::Leaf(value) => return leaf(value.clone()),
            Branch::Level(level) if paths.iter().any(|path| !path.is_empty()) => level,
            Branch::Pruned(_) | Branch::Level(_) => return pruned(self.digest()),
        };
        let entries: Vec<_> = level.iter().collect();
        let mut wanted = BTreeSet::new();
        for label in paths.iter().filter_map(|path| path.first()) {
            match entries.binary_search_by(|(known, _)| (*known).cmp(label)) {
                Ok(at) => drop(wanted.insert(at)),
                // its neighbours
                Err(at) => wanted.extend((at.saturating_sub(1)..=at).filter(|&at| at < entries.len())),
            }
        }
        view_of(&entries, 0..entries.len(), &wanted, paths)
    }
}

type Entry<'a> = (&'a Vec<u8>, &'a Branch);

fn digest_of(entries: &[Entry]) -> Digest {
    match entries {
        [] => empty().digest(),
        [(label, branch)] => labeled_hash(label, &branch.digest()),
        _ => {
            let (left, right) = entries.split_at(entries.len() / 2);
            fork_hash(&digest_of(left), &digest_of(right))
        }
    }
}

fn view_of(
    entries: &[Entry],
    range: Range<usize>,
    wanted: &BTreeSet<usize>,
    paths: &[&[Vec<u8>]],
) -> HashTree {
    if range.is_empty() {
        return empty();
    }
    if wanted.range(range.clone()).next().is_none() {
        return pruned(digest_of(&entries[range]));
    }
    if range.len() == 1 {
        let (label, branch) = entries[range.start];
        let below: Vec<&[Vec<u8>]> =
            paths.iter().filter(|path| path.first() == Some(label)).map(|path| &path[1..]).collect();
        return labeled(label.clone(), branch.view(&below));
    }
    let middle = range.start + range.len() / 2;
    fork(
        view_of(entries, range.start..middle, wanted, paths),
        view_of(entries, middle..range.end, wanted, paths),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use ic_certification::{LookupResult, NestedTree};
    use proptest::prelude::*;

    fn path() -> impl Strategy<Value = Vec<Vec<u8>>> {
        prop::collection::vec(prop::collection::vec(0..4u8, 0..2), 3)
    }

    proptest! {
        #[test]
        fn its_views_prove_what_the_plain_tree_proves(
            paths in prop::collection::vec(path(), 0..40),
            asked in prop::collection::vec(path(), 1..6),
        ) {
            let mut branch = Branch::default();
            let mut plain: NestedTree<Vec<u8>, Vec<u8>> = NestedTree::default();
            for path in &paths {
                branch.insert(path.iter().map(Vec::as_slice), Branch::Leaf(vec![7]));
                plain.insert(path, vec![7]);
            }
            let asked: Vec<&[Vec<u8>]> = asked.iter().map(Vec::as_slice).collect();
            let view = branch.view(&asked);
            prop_assert_eq!(view.digest(), branch.digest());
            for path in asked {
                let expected = if paths.iter().any(|known| known == path) {
                    LookupResult::Found(&[7])
                } else {
                    LookupResult::Absent
                };
                let witness = plain.witness(path);
                prop_assert_eq!(witness.lookup_path(path), expected.clone());
                prop_assert_eq!(view.lookup_path(path), expected);
            }
        }
    }

    #[test]
    fn what_is_pruned_counts_by_its_digest() {
        let mut whole = Branch::default();
        whole.insert([&b"a"[..], b"b"], Branch::Leaf(vec![1]));
        let mut part = whole.clone();
        part.insert([&b"a"[..]], Branch::Pruned(labeled_hash(b"b", &leaf_hash(&[1]))));
        assert_eq!(part.digest(), whole.digest());
        assert_eq!(part.view(&[&[b"a".to_vec()]]).digest(), whole.digest());
    }
}
