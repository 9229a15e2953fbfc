//! The data methods, the same in the hub and in a personal canister.
//!
//! Each is a read or a write of the store: who calls, and when, is put together in `state`, all
//! rules are in the `capsule` crate.

use crate::state::{read, write};
use capsule::types::*;
use ic_cdk::{query, update};
use serde_bytes::ByteBuf;

#[query]
fn capsules_get(capsule: String) -> Answer<Capsule> {
    read(|store, call| store.capsules_get(call, &capsule))
}

#[query]
fn capsules_summary(capsule: String) -> Answer<CapsuleSummary> {
    read(|store, call| store.capsules_summary(call, &capsule))
}

#[update]
fn capsules_update(capsule: String, update: CapsuleUpdate) -> Answer<Capsule> {
    write("capsules_update", |store, call| store.capsules_update(call, &capsule, update))
}

macro_rules! records {
    ($record:ident, $input:ident: $create:ident, $get:ident, $list:ident, $update:ident, $delete:ident) => {
        #[update]
        fn $create(capsule: String, input: $input) -> Answer<$record> {
            write(stringify!($create), |store, call| store.create(call, &capsule, input))
        }

        #[query]
        fn $get(capsule: String, id: String) -> Answer<$record> {
            read(|store, call| store.read(call, &capsule, &id))
        }

        #[query]
        fn $list(capsule: String, after: Option<String>, limit: u32) -> Answer<Page<$record>> {
            read(|store, call| store.list(call, &capsule, after.as_deref(), limit))
        }

        #[update]
        fn $update(capsule: String, id: String, input: $input) -> Answer<$record> {
            write(stringify!($update), |store, call| store.update(call, &capsule, &id, input))
        }

        #[update]
        fn $delete(capsule: String, id: String) -> Answer<()> {
            write(stringify!($delete), |store, call| store.delete::<$record>(call, &capsule, &id))
        }
    };
}

records!(Memory, MemoryInput: memories_create, memories_get, memories_list, memories_update, memories_delete);
records!(Folder, FolderInput: folders_create, folders_get, folders_list, folders_update, folders_delete);
records!(Gallery, GalleryInput: galleries_create, galleries_get, galleries_list, galleries_update, galleries_delete);
records!(
    Connection, ConnectionInput:
    connections_create, connections_get, connections_list, connections_update, connections_delete
);
records!(Group, GroupInput: groups_create, groups_get, groups_list, groups_update, groups_delete);
records!(AccessEntry, AccessInput: access_create, access_get, access_list, access_update, access_delete);

#[query]
fn access_effective(capsule: String, resource: Resource, person: PersonRef) -> Answer<u32> {
    read(|store, call| store.access_effective(call, &capsule, &resource, &person))
}

#[query]
fn access_reach(after: Option<Reach>, limit: u32) -> Answer<Page<Reach, Reach>> {
    read(|store, call| store.access_reach(call, after.as_ref(), limit))
}

#[query]
fn access_matrix(capsule: String, at: Time, cursor: Option<ByteBuf>, limit: u32) -> Answer<MatrixPage> {
    read(|store, call| store.access_matrix(call, &capsule, at, bytes(&cursor), limit))
}

// ---- blobs -----------------------------------------------------------------------------------------

#[update]
fn uploads_begin(capsule: String, sha256: ByteBuf, length: u64) -> Answer<UploadStatus> {
    write("uploads_begin", |store, call| store.uploads_begin(call, &capsule, &sha256, length))
}

#[update]
fn uploads_put_chunk(capsule: String, sha256: ByteBuf, index: u32, bytes: ByteBuf) -> Answer<()> {
    write("uploads_put_chunk", |store, call| store.uploads_put_chunk(call, &capsule, &sha256, index, &bytes))
}

#[update]
fn uploads_finish(capsule: String, sha256: ByteBuf) -> Answer<UploadStatus> {
    write("uploads_finish", |store, call| store.uploads_finish(call, &capsule, &sha256))
}

#[query]
fn uploads_status(capsule: String, sha256: ByteBuf) -> Answer<UploadStatus> {
    read(|store, call| store.uploads_status(call, &capsule, &sha256))
}

#[update]
fn uploads_abort(capsule: String, sha256: ByteBuf) -> Answer<()> {
    write("uploads_abort", |store, call| store.uploads_abort(call, &capsule, &sha256))
}

#[query]
fn blobs_get(capsule: String, sha256: ByteBuf) -> Answer<Blob> {
    read(|store, call| store.blobs_get(call, &capsule, &sha256))
}

#[query]
fn blobs_list(capsule: String, after: Option<ByteBuf>, limit: u32) -> Answer<Page<Blob, ByteBuf>> {
    read(|store, call| store.blobs_list(call, &capsule, bytes(&after), limit))
}

#[query]
fn blobs_read_chunk(capsule: String, sha256: ByteBuf, index: u32) -> Answer<ByteBuf> {
    read(|store, call| store.blobs_read_chunk(call, &capsule, &sha256, index))
}

// ---- manifest --------------------------------------------------------------------------------------

#[query]
fn manifest_root(capsule: String) -> Answer<CertifiedRoot> {
    let summary = read(|store, call| store.manifest_root(call, &capsule))?;
    let (certificate, witness) = crate::state::certified(&capsule)?;
    Ok(CertifiedRoot { summary, certificate, witness })
}

#[query]
fn manifest_node(capsule: String, prefix: ByteBuf) -> Answer<ManifestNode> {
    read(|store, call| store.manifest_node(call, &capsule, &prefix))
}

#[query]
fn manifest_leaves(
    capsule: String,
    after: Option<ByteBuf>,
    limit: u32,
) -> Answer<Page<ManifestLeaf, ByteBuf>> {
    read(|store, call| store.manifest_leaves(call, &capsule, bytes(&after), limit))
}

fn bytes(bytes: &Option<ByteBuf>) -> Option<&[u8]> {
    bytes.as_ref().map(|bytes| bytes.as_slice())
}
