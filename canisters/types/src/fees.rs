//! Fees of the system, in cycles: the one place where they stand.

/// Candid and envelope around the bytes of a message.
pub const BYTES_AROUND: u128 = 600;

/// What the system takes for what.
#[derive(Clone, Copy, Debug)]
pub struct FeeSchedule {
    pub ingress_message: u128,
    pub ingress_byte: u128,
    pub update_message: u128,
    pub instruction: u128,
    pub canister_call: u128,
    pub canister_call_byte: u128,
    /// For a GiB of storage, a second.
    pub gib_second: u128,
}

/// Fees on a subnet of 13 nodes.
pub const FEES: FeeSchedule = FeeSchedule {
    ingress_message: 1_200_000,
    ingress_byte: 2_000,
    update_message: 5_000_000,
    instruction: 1,
    canister_call: 260_000,
    canister_call_byte: 1_000,
    gib_second: 127_000,
};

impl FeeSchedule {
    /// Cycles for that many update calls, with their argument bytes and instructions in all.
    pub fn updates(&self, calls: u128, bytes: u128, instructions: u128) -> u128 {
        calls * (self.ingress_message + self.update_message)
            + self.ingress_byte * bytes
            + self.instruction * instructions
    }

    /// Cycles for that many calls to other canisters, the bytes sent with them, and the instructions
    /// of the method that makes them.
    pub fn calls(&self, calls: u128, bytes: u128, instructions: u128) -> u128 {
        (calls + 1) * self.update_message
            + calls * (self.canister_call + self.canister_call_byte * BYTES_AROUND)
            + bytes * self.canister_call_byte
            + instructions * self.instruction
    }
}
