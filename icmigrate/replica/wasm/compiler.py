"""Compiling modules to native code, in a process of its own unless they are small.

What a module costs to compile cannot be told from its size, and wasmtime cannot be stopped: a few hundred KB may
take hours or all memory. A process can be limited and ended, and with less priority it holds up nobody.
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path
from threading import Lock
from typing import IO

import wasmtime

from icmigrate.replica.engine.wasmtime_c_api import Interrupted, shared_engine
from icmigrate.replica.errors.canister_errors import InvalidModule
from icmigrate.replica.storage import compiled_files

SMALL_BYTES = 4096
"""Modules up to this size are compiled at once; starting a process takes 0.1 s."""
CPU_SECONDS = 60
MEMORY_BYTES = 8 << 30
PRIORITY = 5
_REFUSED, _NOT_WRITTEN = 3, 4
_PR_SET_PDEATHSIG = 1


class Compiler:
    """Compiles for one replica. Safe to use from several threads."""

    def __init__(self, cpu_seconds: int = CPU_SECONDS) -> None:
        self._cpu_seconds = cpu_seconds
        self._lock = Lock()
        self._processes: set[subprocess.Popen[bytes]] = set()
        self._is_interrupted = False

    def compile(self, wasm: bytes, target: Path | None) -> wasmtime.Module:
        """The compiled module, which `target`, if any, holds afterwards.

        Raises InvalidModule, Interrupted, OSError.
        """
        if len(wasm) > SMALL_BYTES:
            with compiled_files.written(target) as file:
                self._run(wasm, file)
                return wasmtime.Module.deserialize_file(shared_engine(), compiled_files.path_of(file.fileno()))
        try:
            module = wasmtime.Module(shared_engine(), wasm)
        except wasmtime.WasmtimeError as error:
            raise _invalid(str(error)) from None
        with compiled_files.written(target) as file:
            file.write(module.serialize())
        return module

    def interrupt(self) -> None:
        """Ends every compilation under way, and all that would follow, with `Interrupted`; from any thread."""
        with self._lock:
            self._is_interrupted = True
            for process in self._processes:
                process.kill()

    def _run(self, wasm: bytes, file: IO[bytes]) -> None:
        # -P: what lies in the current folder is not imported.
        command = [sys.executable, "-P", "-m", "icmigrate.replica.wasm.compiler", str(self._cpu_seconds)]
        with self._lock:
            if self._is_interrupted:
                raise Interrupted
            process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=file, stderr=subprocess.PIPE)
            self._processes.add(process)
        try:
            _, said = process.communicate(wasm)
        finally:
            with self._lock:
                self._processes.discard(process)
        match process.returncode:
            case 0:
                return
            case code if code == _REFUSED:
                raise _invalid(said.decode())
            case code if code == _NOT_WRITTEN:
                raise OSError(int(said), os.strerror(int(said)), file.name)
        if self._is_interrupted:
            raise Interrupted
        raise _invalid(f"compiling it takes more than {self._cpu_seconds} s or {MEMORY_BYTES >> 30} GiB of memory")


def _invalid(reason: str) -> InvalidModule:
    return InvalidModule(f"Wasmtime failed to validate wasm module {reason}")


def main(cpu_seconds: int) -> int:
    """What the process does: compiles the module on stdin to stdout, a file. It ends with the replica."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    os.nice(PRIORITY)
    resource.setrlimit(resource.RLIMIT_CPU, (cpu_seconds, cpu_seconds))
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    try:
        module = wasmtime.Module(shared_engine(), sys.stdin.buffer.read())
        sys.stdout.buffer.write(module.serialize())
        sys.stdout.buffer.flush()
    except wasmtime.WasmtimeError as error:
        sys.stderr.write(str(error))
        return _REFUSED
    except OSError as error:
        sys.stderr.write(str(error.errno))
        return _NOT_WRITTEN
    return 0


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1])))
