"""Measures the migration side by side with plain ic-py and with SHA-256 as the limit, in one run.

`--json` prints `{"event": "bench", ...}` as the last line. Rates are MB (10^6 bytes) a second.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks import replica_speed
from icmigrate.contract.blobs import CHUNK_BYTES
from icmigrate.networks import embedded

MB = 1_000_000
BLOB_BYTES = 4 * MB


@dataclass(frozen=True)
class Figures:
    """What one run measured."""

    relay_mb_s: float
    icpy_mb_s: float
    relay_to_icpy: float
    sha256_wasm_mb_s: float
    sha256_native_mb_s: float
    peak_rss_mb: float
    already_migrated_s: float
    migrate_s: float
    ingest_mb_s: float
    updates_per_s: float
    queries_per_s: float
    update_1_9_mb_s: float
    create_and_install_ms: float
    idle_canister_kb: float
    raw_updates_per_s: float
    raw_updates_per_s_of_16: float
    raw_queries_per_s_of_16: float
    two_canisters_to_one: float


EXPLANATION = """\
relay: reads by query, checks, and writes by update; both cores are busy (toolkit and replica). Its bound is what a
chunk costs the replica: SHA-256 and Candid in Wasm, the write-ahead log, and the envelope's hash.
ic-py: one chunk read and written by plain ic-py 1.0.1 calls; its Candid codec is quadratic in a blob's length.
updates, queries: small calls one after another over one connection, signing and certificate check included.
raw: the same without the client's part, over 1 and 16 connections. Bound by one core of Python: a fifth is the BLS
signature of the certificate, a fifth the two transactions of an update, the rest HTTP, CBOR and the scheduler.
two canisters to one: time of two long messages side by side, by that of one; 1 on two free cores.
create and install: the last of several hundred personal canisters of one module, which is compiled once."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--megabytes", type=int, default=256)
    parser.add_argument("--canisters", type=int, default=1000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="icmigrate-bench-") as folder:
        figures = measure(Path(folder), options.megabytes * MB, options.canisters)
    if options.json:
        print(json.dumps({"event": "bench", **asdict(figures)}))
    else:
        for name, figure in asdict(figures).items():
            print(f"{name:24} {figure:12,.2f}")
        print(EXPLANATION)


def measure(folder: Path, size: int, canisters: int) -> Figures:
    """Everything, on one replica in `folder`."""
    say(f"writing {size // MB} MB of files")
    files = folder / "files"
    write_files(files, size)
    state = folder / "state"
    info = embedded.start(state)
    try:
        command(state, "deploy")
        capsule = command(state, "ingest", str(files))
        moved = command(state, "migrate", capsule["capsule_id"])
        again = command(state, "migrate", capsule["capsule_id"])
        say("plain ic-py: one chunk")
        icpy = asyncio.run(replica_speed.plain_icpy(state, info))
        say("small calls, large calls, canisters")
        replica = asyncio.run(replica_speed.measure(state, info, canisters))
    finally:
        embedded.stop(state)
    relay = size / MB / moved["phases"]["pre-copy"]
    return Figures(
        relay_mb_s=round(relay, 2),
        icpy_mb_s=round(icpy, 4),
        relay_to_icpy=round(relay / icpy, 1),
        sha256_wasm_mb_s=round(replica.sha256_wasm_mb_s, 1),
        sha256_native_mb_s=round(native_sha256(), 1),
        peak_rss_mb=round(moved["peak_rss_mb"], 1),
        already_migrated_s=round(again["wall"], 2),
        migrate_s=round(moved["wall"], 2),
        ingest_mb_s=round(size / MB / capsule["wall"], 2),
        updates_per_s=round(replica.updates_per_s, 1),
        queries_per_s=round(replica.queries_per_s, 1),
        update_1_9_mb_s=round(replica.large_updates_mb_s, 1),
        create_and_install_ms=round(replica.create_and_install_ms, 1),
        idle_canister_kb=round(replica.idle_canister_kb, 1),
        raw_updates_per_s=round(replica.raw_updates_per_s, 1),
        raw_updates_per_s_of_16=round(replica.raw_updates_per_s_of_16, 1),
        raw_queries_per_s_of_16=round(replica.raw_queries_per_s_of_16, 1),
        two_canisters_to_one=round(replica.two_canisters_to_one, 2),
    )


def write_files(folder: Path, size: int) -> None:
    folder.mkdir()
    noise = random.Random(1)
    for number in range(size // BLOB_BYTES):
        (folder / f"{number:04}.bin").write_bytes(noise.randbytes(BLOB_BYTES))


def command(state: Path, *arguments: str) -> dict[str, Any]:
    """Runs one icmigrate command in its own process: its result, wall time, peak memory and phases."""
    say("icmigrate " + " ".join(arguments))
    begun = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, "-m", "icmigrate", *arguments, "--json", "--state", str(state)],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    lines = [json.loads(line) for line in process.stdout]
    _, status, usage = os.wait4(process.pid, 0)
    if os.waitstatus_to_exitcode(status) != 0:
        raise SystemExit(f"icmigrate {arguments[0]} ended with {os.waitstatus_to_exitcode(status)}: {lines[-1:]}")
    phases = {line["phase"]: line["seconds"] for line in lines if line["event"] == "phase_end"}
    measured = {"wall": time.monotonic() - begun, "peak_rss_mb": usage.ru_maxrss / 1000, "phases": phases}
    result: dict[str, Any] = lines[-1] | measured
    return result


def native_sha256() -> float:
    data = bytes(CHUNK_BYTES)
    begun = time.perf_counter()
    for _ in range(100):
        hashlib.sha256(data)
    return 100 * CHUNK_BYTES / MB / (time.perf_counter() - begun)


def say(words: str) -> None:
    print(words, file=sys.stderr)


if __name__ == "__main__":
    main()
