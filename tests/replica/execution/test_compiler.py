"""Compiling ends, whatever the module is."""

from __future__ import annotations

import errno
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import wasmtime

from icmigrate.replica.engine.wasmtime_c_api import Interrupted, new_store
from icmigrate.replica.errors.canister_errors import InvalidModule
from icmigrate.replica.wasm.compiler import SMALL_BYTES, Compiler


def module(body: str) -> bytes:
    return bytes(wasmtime.wat2wasm(f'(module (func (export "f") (result i32) {body} i32.const 7))'))


NESTED = module("loop " * 30_000 + "end " * 30_000)
"""Takes half a minute."""


@pytest.mark.parametrize("body", ["", "i32.const 0 drop " * SMALL_BYTES])
def test_small_and_large_modules_are_compiled(tmp_path: Path, body: str) -> None:
    compiled = Compiler().compile(module(body), tmp_path / "compiled")
    store = new_store()
    function = wasmtime.Instance(store, compiled, []).exports(store)["f"]
    assert isinstance(function, wasmtime.Func) and function(store) == 7
    assert [file.name for file in tmp_path.iterdir()] == ["compiled"]


def test_a_module_that_takes_too_long_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidModule, match="takes more than 1 s"):
        Compiler(cpu_seconds=1).compile(NESTED, tmp_path / "compiled")
    assert not list(tmp_path.iterdir())


def test_a_module_that_cannot_be_compiled_is_refused_with_the_reason(tmp_path: Path) -> None:
    targets = "0 " * 70_000
    with pytest.raises(InvalidModule, match="exceeds the implementation limit"):
        Compiler().compile(module(f"i32.const 1 i32.const 0 br_table {targets}"), tmp_path / "compiled")


def test_a_closed_replica_does_not_wait_for_compilations(tmp_path: Path) -> None:
    compiler = Compiler()
    with ThreadPoolExecutor(1) as thread:
        compiling = thread.submit(compiler.compile, NESTED, tmp_path / "compiled")
        compiler.interrupt()
        with pytest.raises(Interrupted):
            compiling.result()


def test_what_cannot_be_written_is_told(tmp_path: Path) -> None:
    with pytest.raises(OSError) as caught:
        Compiler().compile(module("i32.const 0 drop " * SMALL_BYTES), tmp_path / "absent" / "compiled")
    assert caught.value.errno == errno.ENOENT
