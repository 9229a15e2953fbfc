"""WebAssembly modules as bytes: reading, checking, metering and compiling them."""
