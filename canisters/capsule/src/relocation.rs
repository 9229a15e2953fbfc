//! How a capsule changes its home: freeze, thaw, the root to be certified, the move itself.

use crate::registry::{Registration, Residence};
use crate::store::Store;
use access::Call;
use candid::Principal;
use ic_stable_structures::Memory as StableMemory;
use serde_bytes::ByteBuf;
use types::check;
use types::*;

/// Inner nodes of a manifest that one call computes: about 10e9 instructions.
const NODES_AT_ONCE: u32 = 5_000;
/// Certified answers that one call works out, besides those of one memory.
pub(crate) const FORMS_AT_ONCE: usize = 5_000;
/// Memories whose certified answers one call takes back, or that one call looks at to certify them.
const MEMORIES_AT_ONCE: usize = 1_000;

impl<M: StableMemory> Store<M> {
    /// Makes the capsule read-only and answers the generation of this freeze; a frozen one stays so.
    pub fn freeze(&mut self, capsule: &str) -> Answer<u64> {
        let mut registration = self.registry.get(capsule)?;
        registration.readable(capsule)?;
        if registration.residence == Residence::Hub {
            registration.residence = Residence::Frozen;
            registration.generation += 1;
            self.registry.put(capsule, &registration);
        }
        Ok(registration.generation)
    }

    /// Makes a frozen capsule writable again; any other stays as it is.
    pub fn thaw(&mut self, capsule: &str) -> Answer<()> {
        let mut registration = self.registry.get(capsule)?;
        registration.readable(capsule)?;
        if registration.residence == Residence::Frozen {
            registration.residence = Residence::Hub;
            registration.certified_root = None;
            if std::mem::take(&mut registration.withdrawn) {
                self.http.publish_from(capsule, "");
            }
            self.registry.put(capsule, &registration);
            self.publish_some();
        }
        Ok(())
    }

    /// Certifies again some of the public answers that were taken back, of a capsule that did not move
    /// in the end. Until it has come to a memory, that is answered without a certificate.
    pub fn publish_some(&mut self) {
        let Some((capsule, after)) = self.http.next_unpublished() else { return };
        let after = Some(after.as_str()).filter(|after| !after.is_empty());
        let ids = self.records.ids(&capsule, RecordKind::Memory, after).take(MEMORIES_AT_ONCE);
        let ids: Vec<String> = ids.collect();
        let mut forms = 0;
        for id in &ids {
            forms += self.refresh_memory(&capsule, id);
            if forms >= FORMS_AT_ONCE {
                return self.http.publish_from(&capsule, id);
            }
        }
        match ids.last() {
            Some(last) if ids.len() == MEMORIES_AT_ONCE => self.http.publish_from(&capsule, last),
            _ => self.http.published(&capsule),
        }
    }

    /// Works on the manifest of a frozen or imported capsule. When it is complete its root is the
    /// one to certify; until then `complete` is false: call again.
    pub fn build_manifest(&mut self, capsule: &str) -> Answer<ManifestSummary> {
        let mut registration = self.frozen(capsule)?;
        let root = self.manifest.build(capsule, NODES_AT_ONCE).map(|root| ByteBuf::from(root.to_vec()));
        if root.is_some() && registration.certified_root != root {
            registration.certified_root = root;
            self.registry.put(capsule, &registration);
        }
        self.manifest_summary(capsule)
    }

    /// Takes back some of the frozen capsule's certified answers, so that none outlives the move: a
    /// gateway would take it for the current one. True when none is left, else call again.
    pub fn withdraw_some(&mut self, capsule: &str) -> Answer<bool> {
        let mut registration = self.frozen(capsule)?;
        if !registration.withdrawn {
            registration.withdrawn = true;
            self.registry.put(capsule, &registration);
        }
        Ok(self.http.withdraw_some(capsule, MEMORIES_AT_ONCE) < MEMORIES_AT_ONCE)
    }

    /// The frozen capsule's home is another canister from now on. Conflict while an answer of it is
    /// certified here.
    pub fn move_to(&mut self, capsule: &str, canister: Principal) -> Answer<()> {
        let moved = Registration { residence: Residence::MovedTo(canister), ..self.frozen(capsule)? };
        if self.http.is_certified(capsule) {
            return Err(Error::Conflict(format!("public answers of capsule {capsule} are still certified")));
        }
        self.registry.put(capsule, &moved);
        Ok(())
    }

    fn frozen(&self, capsule: &str) -> Answer<Registration> {
        let registration = self.registry.get(capsule)?;
        if registration.residence != Residence::Frozen {
            return Err(Error::Conflict(format!("capsule {capsule} is not frozen")));
        }
        Ok(registration)
    }

    /// What the manifest says; complete where its root is certified.
    pub fn manifest_summary(&self, capsule: &str) -> Answer<ManifestSummary> {
        let registration = self.registry.get(capsule)?;
        let totals = self.manifest.totals(capsule);
        Ok(ManifestSummary {
            generation: registration.generation,
            complete: registration.certified_root.is_some(),
            root: registration.certified_root.unwrap_or_default(),
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
