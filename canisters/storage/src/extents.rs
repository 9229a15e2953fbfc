//! Byte extents in one stable memory: allocate, write, read, free.
//!
//! ```text
//! data memory
//!  offset 0      "ICMX"   magic
//!         4      u8       version, 1
//!         5      3 bytes  reserved, 0
//!         8      u64 LE   end: first byte behind the last extent
//!        16      u64 LE   count of extents
//!        24      ...      reserved, 0, up to 4096
//!  offset 4096   extents and free space, in granules of 4096 bytes
//! ```
//!
//! Free space lies in two maps, by offset (to join neighbours) and by length (to find the best
//! fit). Two free pieces are never neighbours, and none ends at `end`: the memory behind `end` is
//! the last resort, grown on demand.

use crate::memory::{self, Vm};
use ic_stable_structures::memory_manager::MemoryManager;
use ic_stable_structures::{Memory, StableBTreeMap, StableBTreeSet};
use types::{Answer, Error};

/// Extents begin and end at multiples of this many bytes.
pub const GRANULE: u64 = 4096;
const PAGE: u64 = 65536;
const MAGIC: &[u8; 4] = b"ICMX";
const VERSION: u8 = 1;
const HEADER_LENGTH: usize = 24;

/// Bytes in the data memory. `length` is what was asked for; the granules behind it up to the next
/// boundary belong to the extent too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    pub offset: u64,
    pub length: u32,
}

impl Extent {
    fn size(self) -> u64 {
        u64::from(self.length).max(1).next_multiple_of(GRANULE)
    }
}

pub struct Extents<M: Memory> {
    data: Vm<M>,
    end: u64,
    count: u64,
    free_by_offset: StableBTreeMap<u64, u64, Vm<M>>,
    free_by_length: StableBTreeSet<(u64, u64), Vm<M>>,
}

impl<M: Memory> Extents<M> {
    /// Opens the extents of a canister, empty the first time.
    pub fn init(memories: &MemoryManager<M>) -> Self {
        let data = memories.get(memory::EXTENT_DATA);
        let (mut end, mut count) = (GRANULE, 0);
        if data.size() > 0 {
            let mut header = [0; HEADER_LENGTH];
            data.read(0, &mut header);
            assert_eq!(&header[..4], MAGIC, "the data memory is not one of extents");
            assert_eq!(header[4], VERSION, "extents of another version");
            end = u64::from_le_bytes(header[8..16].try_into().expect("8 bytes"));
            count = u64::from_le_bytes(header[16..24].try_into().expect("8 bytes"));
        }
        Extents {
            data,
            end,
            count,
            free_by_offset: StableBTreeMap::init(memories.get(memory::EXTENT_FREE_BY_OFFSET)),
            free_by_length: StableBTreeSet::init(memories.get(memory::EXTENT_FREE_BY_LENGTH)),
        }
    }

    /// Stores bytes in a new extent, by one write. OutOfStorage when stable memory cannot grow.
    pub fn store(&mut self, bytes: &[u8]) -> Answer<Extent> {
        let length =
            u32::try_from(bytes.len()).map_err(|_| Error::Invalid("an extent has less than 4 GiB".into()))?;
        let mut extent = Extent { offset: 0, length };
        extent.offset = match self.take_free(extent.size()) {
            Some(offset) => offset,
            None => self.take_end(extent.size())?,
        };
        self.count += 1;
        self.save_header();
        self.data.write(extent.offset, bytes);
        Ok(extent)
    }

    /// Reads `length` bytes of an extent from `start` on; less where the extent ends before.
    pub fn read(&self, extent: Extent, start: u32, length: u32) -> Vec<u8> {
        if start >= extent.length {
            return Vec::new();
        }
        let length = length.min(extent.length - start) as usize;
        let mut bytes = vec![0; length];
        self.data.read(extent.offset + u64::from(start), &mut bytes);
        bytes
    }

    /// Gives an extent back. Whoever frees it must have the only record of it.
    pub fn free(&mut self, extent: Extent) {
        let (mut offset, mut size) = (extent.offset, extent.size());
        if let Some((before, length)) = self.free_by_offset.range(..offset).next_back().map(|e| e.into_pair())
        {
            if before + length == offset {
                self.forget(before, length);
                offset = before;
                size += length;
            }
        }
        if let Some(length) = self.free_by_offset.get(&(offset + size)) {
            self.forget(offset + size, length);
            size += length;
        }
        if offset + size == self.end {
            self.end = offset;
        } else {
            self.remember(offset, size);
        }
        self.count -= 1;
        self.save_header();
    }

    /// How many extents there are.
    pub fn count(&self) -> u64 {
        self.count
    }

    fn take_free(&mut self, size: u64) -> Option<u64> {
        let (length, offset) = self.free_by_length.range((size, 0)..).next()?;
        self.forget(offset, length);
        if length > size {
            self.remember(offset + size, length - size);
        }
        Some(offset)
    }

    fn take_end(&mut self, size: u64) -> Answer<u64> {
        let offset = self.end;
        let pages = (offset + size).div_ceil(PAGE);
        let have = self.data.size();
        if pages > have && self.data.grow(pages - have) < 0 {
            return Err(Error::OutOfStorage("stable memory is full".into()));
        }
        self.end = offset + size;
        Ok(offset)
    }

    fn remember(&mut self, offset: u64, length: u64) {
        self.free_by_offset.insert(offset, length);
        self.free_by_length.insert((length, offset));
    }

    fn forget(&mut self, offset: u64, length: u64) {
        self.free_by_offset.remove(&offset);
        self.free_by_length.remove(&(length, offset));
    }

    fn save_header(&self) {
        let mut header = [0; HEADER_LENGTH];
        header[..4].copy_from_slice(MAGIC);
        header[4] = VERSION;
        header[8..16].copy_from_slice(&self.end.to_le_bytes());
        header[16..24].copy_from_slice(&self.count.to_le_bytes());
        self.data.write(0, &header);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ic_stable_structures::VectorMemory;
    use proptest::prelude::*;

    fn extents(memory: &VectorMemory) -> Extents<VectorMemory> {
        Extents::init(&memory::manager(memory.clone(), 1))
    }

    #[derive(Clone, Debug)]
    enum Step {
        Store(u32),
        Free(prop::sample::Index),
        Reopen,
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            4 => prop_oneof![0..20u32, 4090..4100u32, 0..70_000u32].prop_map(Step::Store),
            3 => any::<prop::sample::Index>().prop_map(Step::Free),
            1 => Just(Step::Reopen),
        ]
    }

    /// Extents and free pieces tile the memory up to `end`, without overlap, neighbours joined.
    fn check_layout(extents: &Extents<VectorMemory>, used: &[(Extent, Vec<u8>)]) {
        let mut pieces: Vec<(u64, u64, bool)> =
            used.iter().map(|(extent, _)| (extent.offset, extent.size(), false)).collect();
        pieces.extend(extents.free_by_offset.iter().map(|entry| (*entry.key(), entry.value(), true)));
        pieces.sort_unstable();
        let mut at = GRANULE;
        let mut before_was_free = false;
        for (offset, size, is_free) in pieces {
            assert_eq!(offset, at);
            assert!(!(is_free && before_was_free), "free neighbours at {offset}");
            at = offset + size;
            before_was_free = is_free;
        }
        assert_eq!(at, extents.end);
        assert!(!before_was_free, "free piece before the end");
        assert_eq!(extents.free_by_offset.len(), extents.free_by_length.len());
        assert_eq!(extents.count(), used.len() as u64);
    }

    proptest! {
        #[test]
        fn extents_keep_their_bytes_and_never_overlap(steps in prop::collection::vec(step(), 1..60)) {
            let memory = VectorMemory::default();
            let mut extents = extents(&memory);
            let mut used: Vec<(Extent, Vec<u8>)> = Vec::new();
            for (number, step) in steps.into_iter().enumerate() {
                match step {
                    Step::Store(length) => {
                        let bytes = vec![number as u8 + 1; length as usize];
                        used.push((extents.store(&bytes).unwrap(), bytes));
                    }
                    Step::Free(index) if !used.is_empty() => {
                        let (extent, _) = used.swap_remove(index.index(used.len()));
                        extents.free(extent);
                    }
                    Step::Free(_) => {}
                    Step::Reopen => extents = self::extents(&memory),
                }
                check_layout(&extents, &used);
            }
            for (extent, bytes) in &used {
                prop_assert_eq!(&extents.read(*extent, 0, u32::MAX), bytes);
            }
        }
    }

    #[test]
    fn freed_space_is_used_again_before_the_memory_grows() {
        let memory = VectorMemory::default();
        let mut extents = extents(&memory);
        let first = extents.store(&[1; 1_900_000]).unwrap();
        extents.store(&[2; 5_000]).unwrap();
        extents.free(first);
        assert_eq!(extents.store(&[3; 1_900_000]).unwrap().offset, first.offset);
    }

    #[test]
    fn a_read_stops_at_the_end_of_the_extent() {
        let memory = VectorMemory::default();
        let mut extents = extents(&memory);
        let extent = extents.store(b"0123456789").unwrap();
        assert_eq!(extents.read(extent, 8, 100), b"89");
        assert_eq!(extents.read(extent, 11, 1), b"");
    }
}
