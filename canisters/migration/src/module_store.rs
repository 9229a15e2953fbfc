//! The store of the module that personal canisters are installed with, uploaded in chunks.
//!
//! ```text
//!  00           -> the module that is installed: its WasmInfo
//!  01           -> the upload under way: its WasmInfo, not finished
//!  02 chunk u32 BE -> bytes of the module
//!  03 chunk u32 BE -> bytes of the upload
//! ```

use ic_stable_structures::memory_manager::MemoryManager;
use ic_stable_structures::{Memory as StableMemory, StableBTreeMap};
use serde_bytes::ByteBuf;
use storage::canonical;
use storage::digest::{hex, sha256};
use storage::keys::Key;
use storage::memory::{self, Vm};
use types::check;
use types::*;

/// Longest module: it goes into one call of install_code on the same subnet.
const MAX_MODULE: u64 = 9_000_000;

const CURRENT: u8 = 0;
const PENDING: u8 = 1;

pub struct ModuleStore<M: StableMemory> {
    map: StableBTreeMap<Vec<u8>, Vec<u8>, Vm<M>>,
}

impl<M: StableMemory> ModuleStore<M> {
    pub fn init(memories: &MemoryManager<M>) -> Self {
        ModuleStore { map: StableBTreeMap::init(memories.get(memory::WASM)) }
    }

    /// Begins an upload, or answers how far the one of the same module is. A module that is here
    /// already is complete; another upload under way is dropped.
    pub fn begin(&mut self, sha256: &[u8], length: u64) -> Answer<UploadStatus> {
        check::digest(sha256)?;
        if length == 0 || length > MAX_MODULE {
            return Err(Error::Invalid(format!("a module has 1 to {MAX_MODULE} bytes")));
        }
        let info = WasmInfo { sha256: ByteBuf::from(sha256.to_vec()), length, uploaded_at: 0 };
        let same = |found: &WasmInfo| found.sha256 == info.sha256 && found.length == length;
        if self.info().as_ref().is_some_and(same) {
            return Ok(self.status(CURRENT, &info, true));
        }
        if !self.read_info(PENDING).as_ref().is_some_and(same) {
            self.drop_chunks(PENDING);
            self.map.insert(vec![PENDING], canonical::encode(&info));
        }
        Ok(self.status(PENDING, &info, false))
    }

    /// Takes a chunk of the upload; it may come again.
    pub fn put_chunk(&mut self, index: u32, bytes: Vec<u8>) -> Answer<()> {
        let info = self.pending()?;
        if index >= chunk_count(info.length) || bytes.len() as u64 != chunk_length(info.length, index) {
            return Err(Error::Invalid(format!("the module has no chunk {index} of {} bytes", bytes.len())));
        }
        self.map.insert(chunk_key(PENDING, index), bytes);
        Ok(())
    }

    /// Checks the SHA-256 and makes the upload the module. Without an upload: the module that is
    /// here. A wrong SHA-256 drops the upload.
    pub fn finish(&mut self, at: Time) -> Answer<WasmInfo> {
        let info = match (self.pending(), self.info()) {
            (Ok(pending), _) => pending,
            (Err(_), Some(current)) => return Ok(current),
            (Err(error), None) => return Err(error),
        };
        let module = self.read(PENDING);
        if module.len() as u64 != info.length {
            return Err(Error::Conflict("chunks of the module are missing".into()));
        }
        self.map.remove(&vec![PENDING]);
        self.drop_chunks(PENDING);
        let found = sha256(&module);
        if found != info.sha256.as_slice() {
            return Err(Error::DigestMismatch(format!("the module has the SHA-256 {}", hex(&found))));
        }
        self.drop_chunks(CURRENT);
        for index in 0..chunk_count(info.length) {
            let start = (u64::from(index) * types::limits::CHUNK_SIZE) as usize;
            let end = start + chunk_length(info.length, index) as usize;
            self.map.insert(chunk_key(CURRENT, index), module[start..end].to_vec());
        }
        let info = WasmInfo { uploaded_at: at, ..info };
        self.map.insert(vec![CURRENT], canonical::encode(&info));
        Ok(info)
    }

    /// The module that is installed.
    pub fn info(&self) -> Option<WasmInfo> {
        self.read_info(CURRENT)
    }

    pub fn module(&self) -> Option<(WasmInfo, Vec<u8>)> {
        Some((self.info()?, self.read(CURRENT)))
    }

    fn pending(&self) -> Answer<WasmInfo> {
        self.read_info(PENDING).ok_or_else(|| Error::Conflict("there is no upload: call wasm_begin".into()))
    }

    fn read_info(&self, which: u8) -> Option<WasmInfo> {
        canonical::decode(&self.map.get(&vec![which])?).ok()
    }

    fn read(&self, which: u8) -> Vec<u8> {
        self.map.range(chunks(which)).flat_map(|entry| entry.value()).collect()
    }

    fn drop_chunks(&mut self, which: u8) {
        let keys: Vec<_> = self.map.keys_range(chunks(which)).collect();
        for key in keys {
            self.map.remove(&key);
        }
    }

    fn status(&self, which: u8, info: &WasmInfo, complete: bool) -> UploadStatus {
        let mut received = vec![0; chunk_count(info.length).div_ceil(8) as usize];
        for index in 0..chunk_count(info.length) {
            if self.map.contains_key(&chunk_key(which, index)) {
                received[index as usize / 8] |= 1 << (index % 8);
            }
        }
        UploadStatus { sha256: info.sha256.clone(), length: info.length, received: received.into(), complete }
    }
}

fn chunk_key(which: u8, index: u32) -> Vec<u8> {
    Key::tagged(which + 2).bytes(&index.to_be_bytes()).into_bytes()
}

fn chunks(which: u8) -> std::ops::Range<Vec<u8>> {
    let prefix = Key::tagged(which + 2);
    prefix.clone().into_bytes()..prefix.end()
}

#[cfg(test)]
mod tests {
    use super::*;
    use ic_stable_structures::VectorMemory;

    fn store() -> ModuleStore<VectorMemory> {
        ModuleStore::init(&storage::memory::manager(VectorMemory::default(), 1))
    }

    fn upload(store: &mut ModuleStore<VectorMemory>, module: &[u8], sha256: &Digest) -> Answer<WasmInfo> {
        store.begin(sha256, module.len() as u64)?;
        for (index, chunk) in module.chunks(types::limits::CHUNK_SIZE as usize).enumerate().rev() {
            store.put_chunk(index as u32, chunk.to_vec())?;
        }
        store.finish(7)
    }

    #[test]
    fn a_module_comes_back_as_it_went_in_and_the_next_one_takes_its_place() {
        let mut store = store();
        for fill in [1, 2] {
            let module = vec![fill; 2_000_000];
            let info = upload(&mut store, &module, &sha256(&module)).unwrap();
            assert_eq!(store.module(), Some((info.clone(), module.clone())));
            assert_eq!(store.finish(8).unwrap(), info, "finishing again answers the module");
            assert!(store.begin(&sha256(&module), 2_000_000).unwrap().complete);
        }
    }

    #[test]
    fn a_wrong_module_never_takes_the_place_of_the_right_one() {
        let mut store = store();
        let module = vec![1; 10];
        let info = upload(&mut store, &module, &sha256(&module)).unwrap();
        let wrong = upload(&mut store, &[2; 10], &[9; 32]);
        assert!(matches!(wrong, Err(Error::DigestMismatch(_))));
        assert_eq!(store.module(), Some((info, module)));
    }

    #[test]
    fn an_interrupted_upload_goes_on_where_it_was() {
        let mut store = store();
        let module = vec![5; 2_000_000];
        store.begin(&sha256(&module), 2_000_000).unwrap();
        store.put_chunk(1, module[1_900_000..].to_vec()).unwrap();
        assert!(matches!(store.finish(7), Err(Error::Conflict(_))));
        assert_eq!(store.begin(&sha256(&module), 2_000_000).unwrap().received, ByteBuf::from(vec![0b10]));
        assert!(matches!(store.put_chunk(2, vec![]), Err(Error::Invalid(_))));
    }
}
