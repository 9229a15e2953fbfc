"""The WebAssembly engine (wasmtime) as canister code needs it: quick calls, interruption, written pages."""
