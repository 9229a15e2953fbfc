//! How a capsule leaves the hub: freeze, manifest, move.

use crate::access::Call;
use crate::data::check;
use crate::store::Store;
use crate::types::*;
use candid::Principal;
use ic_stable_structures::Memory as StableMemory;
use serde_bytes::ByteBuf;

/// Inner nodes of a manifest that one call computes: about 10e9 instructions.
const NODES_AT_ONCE: u32 = 5_000;

impl<M: StableMemory> Store<M> {
    /// Makes the capsule read-only and answers the generation of this freeze; a frozen one stays so.
    pub fn freeze(&mut self, capsule: &str) -> Answer<u64> {
        let mut slot = self.slots.get(capsule)?;
        slot.readable(capsule, self.me)?;
        if slot.home == Home::Hub {
            slot.home = Home::Migrating;
            slot.generation += 1;
            self.slots.put(capsule, &slot);
        }
        Ok(slot.generation)
    }

    /// Makes a frozen capsule writable again; any other stays as it is.
    pub fn thaw(&mut self, capsule: &str) -> Answer<()> {
        let mut slot = self.slots.get(capsule)?;
        slot.readable(capsule, self.me)?;
        if slot.home == Home::Migrating {
            slot.home = Home::Hub;
            slot.certified_root = None;
            self.slots.put(capsule, &slot);
        }
        Ok(())
    }

    /// Works on the manifest of a frozen or imported capsule. When it is complete its root is the
    /// one to certify; until then `complete` is false: call again.
    pub fn build_manifest(&mut self, capsule: &str) -> Answer<ManifestSummary> {
        let mut slot = self.slots.get(capsule)?;
        if slot.home != Home::Migrating {
            return Err(Error::Conflict(format!("capsule {capsule} is not frozen")));
        }
        let root = self.manifest.build(capsule, NODES_AT_ONCE).map(|root| ByteBuf::from(root.to_vec()));
        if root.is_some() && slot.certified_root != root {
            slot.certified_root = root;
            self.slots.put(capsule, &slot);
        }
        self.manifest_summary(capsule)
    }

    /// The frozen capsule's home is another canister from now on.
    pub fn move_to(&mut self, capsule: &str, place: Principal) -> Answer<()> {
        let slot = self.slots.get(capsule)?;
        if slot.home != Home::Migrating {
            return Err(Error::Conflict(format!("capsule {capsule} is not frozen")));
        }
        self.slots.change(capsule, |slot| slot.home = Home::Moved(place))?;
        self.http.withdraw(capsule);
        Ok(())
    }

    /// What the manifest says; complete where its root is certified.
    pub fn manifest_summary(&self, capsule: &str) -> Answer<ManifestSummary> {
        let slot = self.slots.get(capsule)?;
        let totals = self.manifest.totals(capsule);
        Ok(ManifestSummary {
            generation: slot.generation,
            complete: slot.certified_root.is_some(),
            root: slot.certified_root.unwrap_or_default(),
            records: totals.records,
            record_bytes: totals.record_bytes,
            blobs: totals.blobs,
            blob_bytes: totals.blob_bytes,
        })
    }

    /// The certified root's summary, for who may export the capsule. Conflict while there is none.
    pub fn manifest_root(&self, call: &Call, capsule: &str) -> Answer<ManifestSummary> {
        self.exporting(call, capsule)?;
        let summary = self.manifest_summary(capsule)?;
        if !summary.complete {
            return Err(Error::Conflict(format!("the manifest of capsule {capsule} is not complete")));
        }
        Ok(summary)
    }

    pub fn manifest_node(&self, call: &Call, capsule: &str, prefix: &[u8]) -> Answer<ManifestNode> {
        self.exporting(call, capsule)?;
        self.manifest.node(capsule, prefix)
    }

    pub fn manifest_leaves(
        &self,
        call: &Call,
        capsule: &str,
        after: Option<&[u8]>,
        limit: u32,
    ) -> Answer<Page<ManifestLeaf, ByteBuf>> {
        self.exporting(call, capsule)?;
        after.map_or(Ok(()), |after| check::digest(after).map(drop))?;
        Ok(self.manifest.leaves(capsule, after, check::limit(limit)? as u32))
    }
}
