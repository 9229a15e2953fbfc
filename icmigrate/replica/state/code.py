"""What a canister executes: the facts of its module, and which files hold its memories.

The bytes themselves are in the state folder, by name (`storage/`).
"""

from __future__ import annotations

from dataclasses import dataclass

WASM_PAGE = 65_536
"""Bytes of a page in which WebAssembly memories and stable memory grow."""


@dataclass(frozen=True, slots=True)
class CustomSection:
    """A `icp:public <name>` or `icp:private <name>` section of the installed module."""

    name: str
    is_public: bool
    content: bytes


@dataclass(frozen=True, slots=True)
class InstalledModule:
    """What is known of the installed module without looking at its bytes (those are in the store by `hash`).

    `hash` is the SHA-256 of the bytes as uploaded (gzip not unpacked); `exports` are the canister methods,
    for example "canister_update greet".
    """

    hash: bytes
    size: int
    exports: frozenset[str]
    sections: tuple[CustomSection, ...]


@dataclass(frozen=True, slots=True)
class MemoryImage:
    """Where the installed code's mutable memory stands; the pages themselves are in the store.

    Sizes are in Wasm pages of 64 KiB. `globals` are the mutable globals in index order as little endian bit
    patterns. The generations name the files that hold the pages (see `storage/page_files.py`); `log_length` is how
    much of the page log is valid.
    """

    heap_pages: int = 0
    stable_pages: int = 0
    globals: tuple[bytes, ...] = ()
    heap_generation: int = 0
    stable_generation: int = 0
    log_generation: int = 0
    log_length: int = 0
    heap_file: int = 0
    stable_file: int = 0
    """Bytes that the image files have at least; 0 where there is none yet."""

    def generation(self, kind: int) -> int:
        """Of the heap (0) or the stable memory (1)."""
        return self.stable_generation if kind else self.heap_generation

    def file_size(self, kind: int) -> int:
        """Bytes of the image file of the heap (0) or the stable memory (1), at least."""
        return self.stable_file if kind else self.heap_file

    @property
    def files(self) -> tuple[int, int, int]:
        """What tells apart the files that hold the pages."""
        return self.heap_generation, self.stable_generation, self.log_generation


NO_MEMORY = MemoryImage()
