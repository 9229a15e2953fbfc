//! The byte code: a stack machine whose values are numbers (u64) and byte strings.
//!
//! ```text
//! program = token*
//! token   = 0x00 number          pushes a number, in LEB128
//!         | 0x01 length byte*    pushes a byte string
//!         | 0x02 length byte*    does the word of this name
//! ```
//!
//! A word takes its operands from the stack, the last one from the top, and pushes its results. Each function
//! of the System API is a word that takes and gives what the Interface Specification says; `pass`, `blob` and
//! `wide` carry byte strings there and back. Programs are byte strings, so `if`, `repeat`, hooks and
//! callbacks take them from the stack.

use crate::ic0;
use crate::state::{self, Hook};
use sha2::{Digest, Sha256};
use std::hint::black_box;

enum Value {
    Number(u64),
    Bytes(Vec<u8>),
}

/// Runs a program. Traps where it makes no sense.
pub fn run(program: &[u8]) {
    Machine::default().run(program);
}

extern "C" fn callback(environment: u32) {
    run(&state::callback(environment));
}

#[derive(Default)]
struct Machine {
    stack: Vec<Value>,
    /// Byte strings that the System API was told the address of: alive until the program ends.
    passed: Vec<Vec<u8>>,
}

impl Machine {
    fn run(&mut self, program: &[u8]) {
        let mut rest = program;
        while let Some((&tag, after)) = rest.split_first() {
            let (number, after) = read_number(after);
            rest = after;
            if tag == 0 {
                self.push(number);
                continue;
            }
            let Some((bytes, after)) = rest.split_at_checked(number as usize) else {
                ic0::trap_with("the program is cut off");
            };
            rest = after;
            match tag {
                1 => self.push_bytes(bytes.to_vec()),
                2 => self.word(text(bytes)),
                _ => ic0::trap_with("no such token"),
            }
        }
    }

    fn word(&mut self, name: &str) {
        match name {
            // The stack.
            "drop" => drop(self.pop()),
            "dup" => match self.pop() {
                Value::Number(number) => {
                    self.push(number);
                    self.push(number);
                }
                Value::Bytes(bytes) => {
                    self.push_bytes(bytes.clone());
                    self.push_bytes(bytes);
                }
            },
            "swap" => {
                let (second, first) = (self.pop(), self.pop());
                self.stack.extend([second, first]);
            }
            // Numbers, and byte strings that hold them, little endian.
            "add" => self.numbers(u64::wrapping_add),
            "subtract" => self.numbers(u64::wrapping_sub),
            "less" => self.numbers(|left, right| (left < right).into()),
            "to_bytes" => {
                let number = self.number();
                self.push_bytes(number.to_le_bytes().to_vec());
            }
            "to_number" => {
                let mut number = [0; 8];
                let bytes = self.bytes();
                let size = bytes.len().min(8);
                number[..size].copy_from_slice(&bytes[..size]);
                self.push(u64::from_le_bytes(number));
            }
            // Byte strings.
            "concat" => {
                let (right, mut left) = (self.bytes(), self.bytes());
                left.extend(right);
                self.push_bytes(left);
            }
            "length" => {
                let length = self.bytes().len();
                self.push(length as u64);
            }
            "equal" => {
                let (right, left) = (self.bytes(), self.bytes());
                self.push((left == right).into());
            }
            "zeros" => {
                let length = self.number();
                self.push_bytes(vec![0; length as usize]);
            }
            "sha256" => {
                let bytes = self.bytes();
                self.push_bytes(Sha256::digest(bytes).to_vec());
            }
            // Control.
            "if" => {
                let (otherwise, then, condition) = (self.bytes(), self.bytes(), self.number());
                self.run(if condition != 0 { &then } else { &otherwise });
            }
            "repeat" => {
                let (program, times) = (self.bytes(), self.number());
                for _ in 0..times {
                    self.run(&program);
                }
            }
            "spin" => {
                for turn in 0..self.number() {
                    black_box(turn);
                }
            }
            "do" => {
                let program = self.bytes();
                self.run(&program);
            }
            // Ways to fail.
            "unreachable" => core::arch::wasm32::unreachable(),
            "overflow_stack" => {
                black_box(overflow_stack(self.number()));
            }
            "call_indirect" => {
                let function: extern "C" fn() =
                    unsafe { std::mem::transmute(black_box(self.number() as usize)) };
                function();
            }
            // The heap, the global byte string on it, and what runs later.
            "memory_size" => self.push(core::arch::wasm32::memory_size(0) as u64),
            "memory_grow" => {
                let pages = self.number();
                self.push(core::arch::wasm32::memory_grow(0, pages as usize) as u32 as u64);
            }
            "load" => {
                let (size, at) = (self.number() as usize, self.number() as usize);
                let bytes = (at..at + size).map(|at| unsafe { (at as *const u8).read_volatile() }).collect();
                self.push_bytes(bytes);
            }
            "store" => {
                let (at, bytes) = (self.number() as usize, self.bytes());
                for (at, byte) in (at..).zip(bytes) {
                    unsafe { (at as *mut u8).write_volatile(byte) };
                }
            }
            "get" => self.push_bytes(state::global()),
            "set" => state::set_global(self.bytes()),
            "append" => state::append_global(&self.bytes()),
            "set_hook" => {
                let (program, name) = (self.bytes(), self.bytes());
                match Hook::named(&name) {
                    Some(hook) => state::set_hook(hook, program),
                    None => ic0::trap_with("no such hook"),
                }
            }
            "callback" => {
                let program = self.bytes();
                self.push(callback as *const () as u64);
                self.push(state::add_callback(program));
            }
            // The System API.
            "pass" => {
                let bytes = match self.pop() {
                    Value::Number(number) => number.to_le_bytes().to_vec(),
                    Value::Bytes(bytes) => bytes,
                };
                self.push(ic0::address(&bytes));
                self.push(bytes.len() as u64);
                self.passed.push(bytes);
            }
            "blob" => {
                let name = self.bytes();
                let name = text(&name);
                let Some(count) = ic0::parameters(&format!("{name}_size")) else {
                    ic0::trap_with("no such blob");
                };
                let arguments = self.arguments(count);
                self.push_bytes(ic0::blob(name, &arguments));
            }
            "wide" => {
                let name = self.bytes();
                let name = text(&name);
                let Some(count) = ic0::parameters(name) else {
                    ic0::trap_with("no such function");
                };
                let mut arguments = self.arguments(count - 1);
                let mut number = [0; 16];
                arguments.push(ic0::address(&number));
                let result = ic0::call(name, &arguments);
                self.push_bytes(black_box(&mut number).to_vec());
                self.stack.extend(result.map(Value::Number));
            }
            function => match ic0::parameters(function) {
                Some(count) => {
                    let arguments = self.arguments(count);
                    self.stack.extend(ic0::call(function, &arguments).map(Value::Number));
                }
                None => ic0::trap_with(&format!("no such word: {function}")),
            },
        }
    }

    fn push(&mut self, number: u64) {
        self.stack.push(Value::Number(number));
    }

    fn push_bytes(&mut self, bytes: Vec<u8>) {
        self.stack.push(Value::Bytes(bytes));
    }

    fn pop(&mut self) -> Value {
        self.stack.pop().unwrap_or_else(|| ic0::trap_with("the stack is empty"))
    }

    fn number(&mut self) -> u64 {
        match self.pop() {
            Value::Number(number) => number,
            Value::Bytes(_) => ic0::trap_with("a number was expected"),
        }
    }

    fn bytes(&mut self) -> Vec<u8> {
        match self.pop() {
            Value::Bytes(bytes) => bytes,
            Value::Number(_) => ic0::trap_with("a byte string was expected"),
        }
    }

    fn numbers(&mut self, operation: impl FnOnce(u64, u64) -> u64) {
        let (right, left) = (self.number(), self.number());
        self.push(operation(left, right));
    }

    /// The topmost numbers, in the order in which they were pushed.
    fn arguments(&mut self, count: usize) -> Vec<u64> {
        let mut arguments: Vec<u64> = (0..count).map(|_| self.number()).collect();
        arguments.reverse();
        arguments
    }
}

fn read_number(mut bytes: &[u8]) -> (u64, &[u8]) {
    let (mut number, mut shift) = (0, 0);
    while let Some((&byte, rest)) = bytes.split_first() {
        bytes = rest;
        number |= u64::from(byte & 0x7f).wrapping_shl(shift);
        shift += 7;
        if byte < 0x80 {
            return (number, bytes);
        }
    }
    ic0::trap_with("the program is cut off")
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap_or_else(|_| ic0::trap_with("a name is not UTF-8"))
}

/// Calls itself `depth` times, with 1 KiB of stack each time.
#[inline(never)]
fn overflow_stack(depth: u64) -> u64 {
    let mut frame = [depth; 128];
    black_box(&mut frame);
    if depth == 0 {
        frame[1]
    } else {
        frame[(depth % 128) as usize].wrapping_add(overflow_stack(depth - 1))
    }
}
