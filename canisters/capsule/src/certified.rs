//! The certified data of a canister: the root of one hash tree with three labels.
//!
//! ```text
//!  /http_expr     the HTTP gateway protocol's tree of certified responses
//!  /manifest      capsule id -> root of its manifest, while that is certified
//!  /registry      capsule id -> where it lives: "hub", "migrating", or the text of a canister's id
//! ```
//!
//! All are in stable memory, and nothing is made again after an upgrade.

use crate::http::certified_data;
use crate::registry::Registry;
use certification::LabelTree;
use ic_certification::hash_tree::{fork_hash, labeled_hash, leaf_hash};
use ic_certification::{fork, labeled, leaf, pruned, HashTree};
use ic_stable_structures::memory_manager::MemoryManager;
use ic_stable_structures::Memory as StableMemory;
use storage::memory::{self, Vm};
use types::{Answer, Digest, Error};

const MANIFEST: &str = "manifest";
const REGISTRY: &str = "registry";

/// The manifests' part of the tree; of the HTTP part its hash is handed in, the registry has its own.
pub struct Certified<M: StableMemory> {
    /// capsule id -> its certified root, as a leaf
    roots: LabelTree<Vm<M>>,
}

impl<M: StableMemory> Certified<M> {
    pub fn init(memories: &MemoryManager<M>) -> Self {
        Certified { roots: LabelTree::init(memories.get(memory::CERTIFIED_ROOTS)) }
    }

    /// Takes over what the registry says about one capsule.
    pub fn update(&mut self, registry: &Registry<M>, capsule: &str) {
        let root = registry.find(capsule).and_then(|known| known.certified_root);
        let digest = root.map(|root| leaf_hash(&root));
        if self.roots.get(capsule.as_bytes()) == digest {
            return;
        }
        match digest {
            Some(digest) => self.roots.insert(capsule.as_bytes(), &digest),
            None => drop(self.roots.remove(capsule.as_bytes())),
        }
    }

    /// The hash of the labelled branch `manifest`.
    pub fn manifest_branch(&self) -> Digest {
        labeled_hash(MANIFEST.as_bytes(), &self.roots.root_hash())
    }

    fn registry_branch(registry: &Registry<M>) -> Digest {
        labeled_hash(REGISTRY.as_bytes(), &registry.homes_root())
    }

    /// The hash of all that stands beside the labelled branch `http_expr`.
    pub fn beside_http(&self, registry: &Registry<M>) -> Digest {
        fork_hash(&self.manifest_branch(), &Self::registry_branch(registry))
    }

    /// The certified data, given the hash of the labelled branch `http_expr`.
    pub fn digest(&self, registry: &Registry<M>, http_branch: &Digest) -> Digest {
        certified_data(http_branch, &self.beside_http(registry))
    }

    /// The witness, in CBOR, of /manifest/<capsule id>.
    pub fn manifest_witness(
        &self,
        registry: &Registry<M>,
        capsule: &str,
        http_branch: &Digest,
    ) -> Answer<Vec<u8>> {
        to_cbor(&self.witness(registry, capsule, http_branch))
    }

    /// The witness, in CBOR, of /registry/<capsule id>.
    pub fn home_witness(
        &self,
        registry: &Registry<M>,
        capsule: &str,
        http_branch: &Digest,
    ) -> Answer<Vec<u8>> {
        to_cbor(&self.home_tree(registry, capsule, http_branch))
    }

    fn home_tree(&self, registry: &Registry<M>, capsule: &str, http_branch: &Digest) -> HashTree {
        let homes = labeled(REGISTRY, registry.home_witness(capsule));
        fork(pruned(*http_branch), fork(pruned(self.manifest_branch()), homes))
    }

    fn witness(&self, registry: &Registry<M>, capsule: &str, http_branch: &Digest) -> HashTree {
        let root = registry.find(capsule).and_then(|known| known.certified_root);
        let roots = self
            .roots
            .witness(capsule.as_bytes(), |digest| root.map_or(pruned(digest), |root| leaf(root.into_vec())));
        let manifests = fork(labeled(MANIFEST, roots), pruned(Self::registry_branch(registry)));
        fork(pruned(*http_branch), manifests)
    }
}

fn to_cbor(tree: &HashTree) -> Answer<Vec<u8>> {
    let mut bytes = Vec::new();
    ciborium::into_writer(tree, &mut bytes).map_err(|error| Error::Upstream(error.to_string()))?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::{Registration, Residence};
    use ic_certification::LookupResult;
    use ic_stable_structures::VectorMemory;

    fn registration(root: Option<[u8; 32]>) -> Registration {
        let certified_root = root.map(|root| root.to_vec().into());
        Registration { certified_root, ..Registration::new(Residence::Frozen, Default::default()) }
    }

    #[test]
    fn a_witness_proves_the_root_of_its_capsule_under_the_certified_data() {
        let memories = memory::manager(VectorMemory::default(), 1);
        let (mut registry, mut certified) = (Registry::init(&memories), Certified::init(&memories));
        let http = [7; 32];
        for (id, root) in [("a", Some([1; 32])), ("b", None), ("c", Some([3; 32]))] {
            registry.put(id, &registration(root));
            certified.update(&registry, id);
        }
        let data = certified.digest(&registry, &http);
        for (id, root) in [("a", Some([1; 32])), ("b", None), ("c", Some([3; 32]))] {
            let tree = certified.witness(&registry, id, &http);
            assert_eq!(tree.digest(), data);
            let found = tree.lookup_path([MANIFEST.as_bytes(), id.as_bytes()]);
            match root {
                Some(root) => assert_eq!(found, LookupResult::Found(&root)),
                None => assert_eq!(found, LookupResult::Absent),
            }
        }
        for (id, home) in [("a", Some(&b"migrating"[..])), ("aa", None)] {
            let tree = certified.home_tree(&registry, id, &http);
            assert_eq!(tree.digest(), data);
            let found = tree.lookup_path([REGISTRY.as_bytes(), id.as_bytes()]);
            assert_eq!(found, home.map_or(LookupResult::Absent, LookupResult::Found));
        }
        let bytes = certified.manifest_witness(&registry, "a", &http).unwrap();
        assert_eq!(bytes[..6], [0x83, 1, 0x82, 4, 0x58, 32], "a fork whose left side is a pruned hash");
        registry.put("a", &registration(None));
        certified.update(&registry, "a");
        assert_ne!(certified.digest(&registry, &http), data);
        assert_eq!(certified.digest(&registry, &http), Certified::init(&memories).digest(&registry, &http));
    }
}
