//! What the canister keeps on its heap from one message to the next.

use std::cell::RefCell;

#[derive(Clone, Copy)]
pub enum Hook {
    Heartbeat,
    GlobalTimer,
    InspectMessage,
    PreUpgrade,
    OnLowWasmMemory,
}

impl Hook {
    /// By the name of the entry point without `canister_`.
    pub fn named(name: &[u8]) -> Option<Self> {
        Some(match name {
            b"heartbeat" => Self::Heartbeat,
            b"global_timer" => Self::GlobalTimer,
            b"inspect_message" => Self::InspectMessage,
            b"pre_upgrade" => Self::PreUpgrade,
            b"on_low_wasm_memory" => Self::OnLowWasmMemory,
            _ => return None,
        })
    }
}

#[derive(Default)]
struct State {
    global: Vec<u8>,
    hooks: [Option<Vec<u8>>; 5],
    callbacks: Vec<Vec<u8>>,
}

thread_local! {
    static STATE: RefCell<State> = RefCell::default();
}

fn with<T>(act: impl FnOnce(&mut State) -> T) -> T {
    STATE.with(|state| act(&mut state.borrow_mut()))
}

pub fn global() -> Vec<u8> {
    with(|state| state.global.clone())
}

pub fn set_global(bytes: Vec<u8>) {
    with(|state| state.global = bytes);
}

pub fn append_global(bytes: &[u8]) {
    with(|state| state.global.extend_from_slice(bytes));
}

pub fn hook(hook: Hook) -> Option<Vec<u8>> {
    with(|state| state.hooks[hook as usize].clone())
}

pub fn set_hook(hook: Hook, program: Vec<u8>) {
    with(|state| state.hooks[hook as usize] = Some(program));
}

/// Keeps the program of a callback; the answer is the callback's environment. Kept until a reinstall.
pub fn add_callback(program: Vec<u8>) -> u64 {
    with(|state| {
        state.callbacks.push(program);
        state.callbacks.len() as u64 - 1
    })
}

pub fn callback(environment: u32) -> Vec<u8> {
    with(|state| state.callbacks[environment as usize].clone())
}
