"""Interface Specification, "Canister module format": a module's custom sections, and what it was built from.

A built module carries two public metadata sections: `candid:service`, its interface, and
`icmigrate:sources`, the SHA-256 of its Rust sources in hexadecimal. So whether a shipped module
belongs to the sources beside it can be told without Rust.

As a program (needs nothing but Python's standard library):

    python -m icmigrate.wasm.sources digest NAME            prints the digest; to be taken before a build
    python -m icmigrate.wasm.sources stamp NAME DIGEST WASM OUT
                                                            writes OUT/NAME.wasm.gz, with the sections, and .did
    python -m icmigrate.wasm.sources check FOLDER NAME...   fails when a module in FOLDER was built from others
"""

import gzip
import hashlib
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

CANDID_SECTION = "icp:public candid:service"
SOURCES_SECTION = "icp:public icmigrate:sources"
_PACKAGE = Path(__file__).parent
_CANISTERS = _PACKAGE.parents[1] / "canisters"
_HEADER = b"\x00asm\x01\x00\x00\x00"


class StaleModuleError(Exception):
    """A shipped module was not built from the sources beside it."""


def digest(name: str, canisters: Path = _CANISTERS) -> str:
    """SHA-256, in hexadecimal, of the sources that the module of a canister is built from.

    These are the workspace's manifest and lock file, and of the canister's crate and of the local
    crates it depends on: the manifest, the .did files and the Rust files below `src` except tests.rs.
    Each counts with its path below `canisters` and its length.
    """
    files = {canisters / "Cargo.toml", canisters / "Cargo.lock"}
    for crate in _crates(canisters / name):
        files |= {crate / "Cargo.toml", *crate.glob("*.did"), *crate.glob("build.rs")}
        files |= {path for path in crate.glob("src/**/*.rs") if path.name != "tests.rs"}
    total = hashlib.sha256()
    for path in sorted(files):
        content = path.read_bytes()
        total.update(f"{path.relative_to(canisters).as_posix()}\0{len(content)}\0".encode())
        total.update(content)
    return total.hexdigest()


def section(module: bytes, name: str) -> bytes | None:
    """The content of a module's custom section, or None when it has none of that name. Takes gzip too."""
    for found, content, _ in _custom_sections(_plain(module)):
        if found == name:
            return content
    return None


def stamp(module: bytes, sections: dict[str, bytes]) -> bytes:
    """The module with these custom sections, in place of older ones of the same names."""
    module = _plain(module)
    kept = bytearray(module)
    for name, _, span in reversed(list(_custom_sections(module))):
        if name in sections:
            del kept[span]
    for name, content in sections.items():
        label = name.encode()
        body = _leb128(len(label)) + label + content
        kept += b"\x00" + _leb128(len(body)) + body
    return bytes(kept)


def check(name: str, folder: Path = _PACKAGE, canisters: Path = _CANISTERS) -> None:
    """Raises StaleModuleError unless the built module and interface in `folder` belong to the sources."""
    try:
        module = (folder / f"{name}.wasm.gz").read_bytes()
        interface = (folder / f"{name}.did").read_bytes()
    except FileNotFoundError as missing:
        raise StaleModuleError(f"{name}: not built yet; run scripts/build-canisters") from missing
    if section(module, SOURCES_SECTION) != digest(name, canisters).encode():
        raise StaleModuleError(f"{name}.wasm.gz was built from other sources; run scripts/build-canisters")
    source = (canisters / name / f"{name}.did").read_bytes()
    if not source == interface == section(module, CANDID_SECTION):
        raise StaleModuleError(f"{name}.did is not the one in canisters/{name}; run scripts/build-canisters")


def _crates(crate: Path) -> set[Path]:
    """The crate and the local crates it is built with."""
    manifest = tomllib.loads((crate / "Cargo.toml").read_text(encoding="utf-8"))
    crates = {crate}
    for dependency in manifest.get("dependencies", {}).values():
        if isinstance(dependency, dict) and "path" in dependency:
            crates |= _crates((crate / dependency["path"]).resolve())
    return crates


def _plain(module: bytes) -> bytes:
    return gzip.decompress(module) if module.startswith(b"\x1f\x8b") else module


def _custom_sections(module: bytes) -> Iterator[tuple[str, bytes, slice]]:
    """Name, content and place of each custom section (WebAssembly 2.0, section 5.5.3)."""
    if not module.startswith(_HEADER):
        raise ValueError("not a Wasm module")
    at = len(_HEADER)
    while at < len(module):
        size, body = _read_leb128(module, at + 1)
        if module[at] == 0:
            length, label = _read_leb128(module, body)
            content = label + length
            yield module[label:content].decode(), module[content : body + size], slice(at, body + size)
        at = body + size


def _read_leb128(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        value |= (data[at] & 0x7F) << shift
        shift += 7
        at += 1
        if data[at - 1] < 0x80:
            return value, at


def _leb128(value: int) -> bytes:
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _stamp_files(name: str, sources: str, built: Path, out: Path) -> None:
    interface = (_CANISTERS / name / f"{name}.did").read_bytes()
    module = stamp(built.read_bytes(), {CANDID_SECTION: interface, SOURCES_SECTION: sources.encode()})
    out.mkdir(parents=True, exist_ok=True)
    (out / f"{name}.wasm.gz").write_bytes(gzip.compress(module, 9, mtime=0))
    (out / f"{name}.did").write_bytes(interface)


def _main(arguments: list[str]) -> int:
    match arguments:
        case ["digest", name]:
            print(digest(name))
            return 0
        case ["stamp", name, sources, built, out]:
            _stamp_files(name, sources, Path(built), Path(out))
            return 0
        case ["check", folder, *names]:
            stale = 0
            for name in names:
                try:
                    check(name, Path(folder))
                except StaleModuleError as error:
                    print(error, file=sys.stderr)
                    stale = 1
            return stale
    print(__doc__, file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(_main(sys.argv[1:]))
