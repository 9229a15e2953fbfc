"""The built canister modules that ship with the package.

For each canister there is `<name>.wasm.gz`, installed as it is (the IC accepts gzip, and the
module hash is the SHA-256 of these bytes), and `<name>.did`, its Candid interface.
`scripts/build-canisters` writes them; `icmigrate.wasm.sources` tells what they were built from.
The environment's ICMIGRATE_WASM_DIR names another folder of modules, such as a fresh build to be tested.
"""

import hashlib
import os
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path

#: The canisters whose modules ship with the package.
NAMES = ("hub", "personal")


def module(name: str) -> bytes:
    """The gzipped Wasm module of a canister, as it is installed; FileNotFoundError when it was not built."""
    return _folder().joinpath(f"{name}.wasm.gz").read_bytes()


def module_hash(name: str) -> bytes:
    """The module hash of a canister as the IC states it: the SHA-256 of what is installed."""
    return hashlib.sha256(module(name)).digest()


def candid(name: str) -> str:
    """The Candid interface of a canister; FileNotFoundError when it was not built."""
    return _folder().joinpath(f"{name}.did").read_text(encoding="utf-8")


def _folder() -> Traversable:
    elsewhere = os.environ.get("ICMIGRATE_WASM_DIR")
    return Path(elsewhere) if elsewhere else files(__name__)
