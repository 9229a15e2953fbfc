//! The certified data of a canister: the root of one hash tree with two labels.
//!
//! ```text
//!  /http_expr     the HTTP gateway protocol's tree of certified responses
//!  /manifest      capsule id -> root of its manifest, while that is certified
//! ```
//!
//! Both are in stable memory, and nothing is made again after an upgrade.

use crate::http::certified_data;
use crate::registry::Registry;
use certification::LabelTree;
use ic_certification::hash_tree::{labeled_hash, leaf_hash};
use ic_certification::{fork, labeled, leaf, pruned, HashTree};
use ic_stable_structures::memory_manager::MemoryManager;
use ic_stable_structures::Memory as StableMemory;
use storage::memory::{self, Vm};
use types::{Answer, Digest, Error};

const MANIFEST: &str = "manifest";

/// The manifests' side of the tree; of the HTTP side its hash is handed in.
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

    /// The certified data, given the hash of the labelled branch `http_expr`.
    pub fn digest(&self, http_branch: &Digest) -> Digest {
        certified_data(http_branch, &self.manifest_branch())
    }

    /// The witness, in CBOR, of /manifest/<capsule id>.
    pub fn manifest_witness(
        &self,
        registry: &Registry<M>,
        capsule: &str,
        http_branch: &Digest,
    ) -> Answer<Vec<u8>> {
        let mut bytes = Vec::new();
        ciborium::into_writer(&self.witness(registry, capsule, http_branch), &mut bytes)
            .map_err(|error| Error::Upstream(error.to_string()))?;
        Ok(bytes)
    }

    fn witness(&self, registry: &Registry<M>, capsule: &str, http_branch: &Digest) -> HashTree {
        let root = registry.find(capsule).and_then(|known| known.certified_root);
        let roots = self
            .roots
            .witness(capsule.as_bytes(), |digest| root.map_or(pruned(digest), |root| leaf(root.into_vec())));
        fork(pruned(*http_branch), labeled(MANIFEST, roots))
    }
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
        let data = certified.digest(&http);
        for (id, root) in [("a", Some([1; 32])), ("b", None), ("c", Some([3; 32]))] {
            let tree = certified.witness(&registry, id, &http);
            assert_eq!(tree.digest(), data);
            let found = tree.lookup_path([MANIFEST.as_bytes(), id.as_bytes()]);
            match root {
                Some(root) => assert_eq!(found, LookupResult::Found(&root)),
                None => assert_eq!(found, LookupResult::Absent),
            }
        }
        let bytes = certified.manifest_witness(&registry, "a", &http).unwrap();
        assert_eq!(bytes[..6], [0x83, 1, 0x82, 4, 0x58, 32], "a fork whose left side is a pruned hash");
        registry.put("a", &registration(None));
        certified.update(&registry, "a");
        assert_ne!(certified.digest(&http), data);
        assert_eq!(certified.digest(&http), Certified::init(&memories).digest(&http));
    }
}
