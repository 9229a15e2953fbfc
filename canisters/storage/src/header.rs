//! The first bytes of stable memory: whose it is, and which layout it has.
//!
//! ```text
//!  0  "ICMG"              magic
//!  4  version u16 LE      of the layout in `memory.rs`
//!  6  kind u8             1 hub, 2 personal canister
//!  7  00
//!  8  next number u64 LE  for ids made by this canister
//! ```

use crate::memory::{self, Vm};
use ic_stable_structures::memory_manager::MemoryManager;
use ic_stable_structures::Memory as StableMemory;

const MAGIC: [u8; 4] = *b"ICMG";
const VERSION: u16 = 3;
const NUMBER_AT: u64 = 8;

/// Which canister a stable memory belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum CanisterKind {
    Hub = 1,
    Personal = 2,
}

pub struct Header<M: StableMemory> {
    memory: Vm<M>,
}

impl<M: StableMemory> Header<M> {
    /// Writes the header into an empty memory, or checks the one that is there.
    ///
    /// Panics where the memory belongs to something else: an upgrade to the wrong module or from a
    /// later layout must fail as a whole.
    pub fn init(memories: &MemoryManager<M>, kind: CanisterKind) -> Self {
        let memory = memories.get(memory::HEADER);
        let [low, high] = VERSION.to_le_bytes();
        let expected = [MAGIC[0], MAGIC[1], MAGIC[2], MAGIC[3], low, high, kind as u8, 0];
        if memory.size() == 0 {
            assert!(memory.grow(1) >= 0, "no stable memory left");
            memory.write(0, &expected);
        } else {
            let mut found = [0; 8];
            memory.read(0, &mut found);
            assert_eq!(
                found, expected,
                "this stable memory has another layout or belongs to another canister"
            );
        }
        Header { memory }
    }

    /// A number that this canister has not given before.
    pub fn next_number(&mut self) -> u64 {
        let mut bytes = [0; 8];
        self.memory.read(NUMBER_AT, &mut bytes);
        let number = u64::from_le_bytes(bytes) + 1;
        self.memory.write(NUMBER_AT, &number.to_le_bytes());
        number
    }
}
