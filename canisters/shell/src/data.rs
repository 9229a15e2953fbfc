//! The data endpoints, the same in every canister that keeps capsules.
//!
//! Each is a read or a write of the store; all rules are in the domain crates. Attributes are named by
//! their full paths, so that they are expanded before the interface is exported.

/// The five methods of one kind of record.
#[doc(hidden)]
#[macro_export]
macro_rules! record_endpoints {
    ($canister:ident: $record:ident, $input:ident, $create:ident, $get:ident, $list:ident, $update:ident, $delete:ident) => {
        #[::ic_cdk::update]
        fn $create(capsule: String, input: $input) -> Answer<$record> {
            $canister::write(stringify!($create), |store, call| store.create(call, &capsule, input))
        }

        #[::ic_cdk::query]
        fn $get(capsule: String, id: String) -> Answer<$record> {
            $canister::read(|store, call| store.read(call, &capsule, &id))
        }

        #[::ic_cdk::query]
        fn $list(capsule: String, after: Option<String>, limit: u32) -> Answer<Page<$record>> {
            $canister::read(|store, call| store.list(call, &capsule, after.as_deref(), limit))
        }

        #[::ic_cdk::update]
        fn $update(capsule: String, id: String, input: $input) -> Answer<$record> {
            $canister::write(stringify!($update), |store, call| store.update(call, &capsule, &id, input))
        }

        #[::ic_cdk::update]
        fn $delete(capsule: String, id: String) -> Answer<()> {
            $canister::write(stringify!($delete), |store, call| store.delete::<$record>(call, &capsule, &id))
        }
    };
}

/// Exports the data methods of a canister, whose root has `use types::*`: the interface is put together there.
#[macro_export]
macro_rules! data_endpoints {
    ($canister:ident) => {
        mod data_endpoints {
            use super::$canister;
            use serde_bytes::ByteBuf;
            use shell::Canister;
            use types::*;

            #[::ic_cdk::query]
            fn capsules_get(capsule: String) -> Answer<Capsule> {
                $canister::read(|store, call| store.capsules_get(call, &capsule))
            }

            #[::ic_cdk::query]
            fn capsules_summary(capsule: String) -> Answer<CapsuleSummary> {
                $canister::read(|store, call| store.capsules_summary(call, &capsule))
            }

            #[::ic_cdk::update]
            fn capsules_update(capsule: String, update: CapsuleUpdate) -> Answer<Capsule> {
                $canister::write("capsules_update", |store, call| store.capsules_update(call, &capsule, update))
            }

            $crate::record_endpoints!($canister: Memory, MemoryInput, memories_create, memories_get, memories_list, memories_update, memories_delete);
            $crate::record_endpoints!($canister: Folder, FolderInput, folders_create, folders_get, folders_list, folders_update, folders_delete);
            $crate::record_endpoints!($canister: Gallery, GalleryInput, galleries_create, galleries_get, galleries_list, galleries_update, galleries_delete);
            $crate::record_endpoints!($canister: Connection, ConnectionInput, connections_create, connections_get, connections_list, connections_update, connections_delete);
            $crate::record_endpoints!($canister: Group, GroupInput, groups_create, groups_get, groups_list, groups_update, groups_delete);
            $crate::record_endpoints!($canister: AccessEntry, AccessInput, access_create, access_get, access_list, access_update, access_delete);

            #[::ic_cdk::query]
            fn access_effective(capsule: String, resource: Resource, person: PersonRef) -> Answer<u32> {
                $canister::read(|store, call| store.access_effective(call, &capsule, &resource, &person))
            }

            #[::ic_cdk::query]
            fn access_reach(after: Option<Reach>, limit: u32) -> Answer<Page<Reach, Reach>> {
                $canister::read(|store, call| store.access_reach(call, after.as_ref(), limit))
            }

            #[::ic_cdk::query]
            fn access_matrix(capsule: String, at: Time, cursor: Option<ByteBuf>, limit: u32) -> Answer<MatrixPage> {
                $canister::read(|store, call| store.access_matrix(call, &capsule, at, cursor.as_deref().map(Vec::as_slice), limit))
            }

            // ---- blobs -----------------------------------------------------------------------------------------

            #[::ic_cdk::update]
            fn uploads_begin(capsule: String, sha256: ByteBuf, length: u64) -> Answer<UploadStatus> {
                $canister::with(|canister| canister.may_upload())?;
                $canister::write("uploads_begin", |store, call| store.uploads_begin(call, &capsule, &sha256, length))
            }

            #[::ic_cdk::update]
            fn uploads_put_chunk(capsule: String, sha256: ByteBuf, index: u32, bytes: ByteBuf) -> Answer<()> {
                $canister::with(|canister| canister.may_upload())?;
                $canister::write("uploads_put_chunk", |store, call| store.uploads_put_chunk(call, &capsule, &sha256, index, &bytes))
            }

            #[::ic_cdk::update]
            fn uploads_finish(capsule: String, sha256: ByteBuf) -> Answer<UploadStatus> {
                $canister::write("uploads_finish", |store, call| store.uploads_finish(call, &capsule, &sha256))
            }

            #[::ic_cdk::query]
            fn uploads_status(capsule: String, sha256: ByteBuf) -> Answer<UploadStatus> {
                $canister::read(|store, call| store.uploads_status(call, &capsule, &sha256))
            }

            #[::ic_cdk::query]
            fn uploads_list(capsule: String, after: Option<ByteBuf>, limit: u32) -> Answer<Page<OpenUpload, ByteBuf>> {
                $canister::read(|store, call| store.uploads_list(call, &capsule, after.as_deref().map(Vec::as_slice), limit))
            }

            #[::ic_cdk::update]
            fn uploads_abort(capsule: String, sha256: ByteBuf) -> Answer<()> {
                $canister::write("uploads_abort", |store, call| store.uploads_abort(call, &capsule, &sha256))
            }

            #[::ic_cdk::query]
            fn blobs_get(capsule: String, sha256: ByteBuf) -> Answer<Blob> {
                $canister::read(|store, call| store.blobs_get(call, &capsule, &sha256))
            }

            #[::ic_cdk::query]
            fn blobs_list(capsule: String, after: Option<ByteBuf>, limit: u32) -> Answer<Page<Blob, ByteBuf>> {
                $canister::read(|store, call| store.blobs_list(call, &capsule, after.as_deref().map(Vec::as_slice), limit))
            }

            #[::ic_cdk::query]
            fn blobs_read_chunk(capsule: String, sha256: ByteBuf, index: u32) -> Answer<ByteBuf> {
                $canister::read(|store, call| store.blobs_read_chunk(call, &capsule, &sha256, index))
            }

            // ---- manifest --------------------------------------------------------------------------------------

            #[::ic_cdk::query]
            fn manifest_root(capsule: String) -> Answer<CertifiedRoot> {
                let summary = $canister::read(|store, call| store.manifest_root(call, &capsule))?;
                let (certificate, witness) = $canister::root_proof(&capsule)?;
                Ok(CertifiedRoot { summary, certificate, witness })
            }

            #[::ic_cdk::query]
            fn manifest_node(capsule: String, prefix: ByteBuf) -> Answer<ManifestNode> {
                $canister::read(|store, call| store.manifest_node(call, &capsule, &prefix))
            }

            #[::ic_cdk::query]
            fn manifest_leaves(
                capsule: String,
                after: Option<ByteBuf>,
                limit: u32,
            ) -> Answer<Page<ManifestLeaf, ByteBuf>> {
                $canister::read(|store, call| store.manifest_leaves(call, &capsule, after.as_deref().map(Vec::as_slice), limit))
            }
        }
    };
}
