"""Which pages of a canister's heap a message wrote, told by the Linux kernel or by comparing.

On Linux from 6.7 on the kernel tells: the heap is write-protected asynchronously through userfaultfd, and the
PAGEMAP_SCAN ioctl lists the pages written since. That costs microseconds and no copy. Elsewhere (and where a
container forbids userfaultfd) a shadow copy is compared, which costs as much as copying the heap.
"""

from __future__ import annotations

import ctypes
import fcntl
import mmap
import os
import platform
import struct
from typing import Protocol

from icmigrate.replica.engine.wasmtime_c_api import libc

PAGE = 4096
Ranges = list[tuple[int, int]]
"""Runs of pages: first page and how many, ascending."""

_BLOCK = 1 << 16
_memcmp = libc.memcmp
_memcmp.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t]


def address_of(mapping: mmap.mmap) -> int:
    """Where a mapping begins; valid as long as it is open."""
    return ctypes.addressof(ctypes.c_char.from_buffer(mapping))


_ZEROS = mmap.mmap(-1, _BLOCK)
_zeros_address = address_of(_ZEROS)


def runs(pages: list[int]) -> Ranges:
    """Ascending page numbers as runs."""
    found: Ranges = []
    for page in pages:
        if found and page == found[-1][0] + found[-1][1]:
            found[-1] = (found[-1][0], found[-1][1] + 1)
        else:
            found.append((page, 1))
    return found


def differing(address: int, other: int, size: int) -> Ranges:
    """The pages in which two memories of `size` bytes differ."""
    pages: list[int] = []
    for block in range(0, size, _BLOCK):
        length = min(_BLOCK, size - block)
        if _memcmp(address + block, other + block, length):
            pages.extend(
                offset // PAGE
                for offset in range(block, block + length, PAGE)
                if _memcmp(address + offset, other + offset, PAGE)
            )
    return runs(pages)


def not_zero(address: int, first: int, count: int) -> Ranges:
    """Those of `count` pages from page `first` on, of the memory at `address`, that are not all zero."""
    pages: list[int] = []
    end = (first + count) * PAGE
    for block in range(first * PAGE, end, _BLOCK):
        length = min(_BLOCK, end - block)
        if _memcmp(address + block, _zeros_address, length):
            pages.extend(
                offset // PAGE
                for offset in range(block, block + length, PAGE)
                if _memcmp(address + offset, _zeros_address, PAGE)
            )
    return runs(pages)


class DirtyPages(Protocol):
    """Follows one memory. Pages that it grew by since the last call are reported when they are not zero."""

    def begin(self, address: int, size: int) -> None:
        """From now on, writes to these bytes are noticed; what was written before is forgotten."""

    def take(self, address: int, size: int) -> Ranges:
        """The pages written since `begin` or the last `take`; the memory may have moved or grown."""

    def close(self) -> None: ...


# ---------------------------------------------------------------------------- Linux: the kernel tells


def _ioctl_number(direction: int, kind: int, number: int, size: int) -> int:
    return direction << 30 | size << 16 | kind << 8 | number


_UFFDIO_API = _ioctl_number(3, 0xAA, 0x3F, 24)
_UFFDIO_REGISTER = _ioctl_number(3, 0xAA, 0x00, 32)
_PAGEMAP_SCAN = _ioctl_number(3, ord("f"), 16, 96)
_UFFD_USER_MODE_ONLY = 1
_UFFD_API = 0xAA
_FEATURES = 1 << 15 | 1 << 13  # WP_ASYNC, WP_UNPOPULATED
_REGISTER_MODE_WP = 2
_WP_MATCHING, _CHECK_WPASYNC = 1, 2
_PAGE_IS_WRITTEN = 2
_REGIONS = 4096
_SYSCALL_USERFAULTFD = {"x86_64": 323, "aarch64": 282}


class KernelDirtyPages:
    """One process has one userfaultfd for all its memories; each memory has one of these."""

    _descriptor = -1
    _pagemap = -1

    @classmethod
    def available(cls) -> bool:
        """Opens the kernel's interface once and tries it on a page."""
        if cls._descriptor >= 0:
            return True
        number = _SYSCALL_USERFAULTFD.get(platform.machine())
        if platform.system() != "Linux" or number is None or mmap.PAGESIZE != PAGE:
            return False
        descriptor = libc.syscall(number, os.O_CLOEXEC | os.O_NONBLOCK | _UFFD_USER_MODE_ONLY)
        if descriptor < 0:
            return False
        trial = mmap.mmap(-1, 4 * PAGE)
        try:
            fcntl.ioctl(descriptor, _UFFDIO_API, bytearray(struct.pack("<QQQ", _UFFD_API, _FEATURES, 0)))
            cls._pagemap = os.open("/proc/self/pagemap", os.O_RDONLY | os.O_CLOEXEC)
            cls._descriptor = descriptor
            address = address_of(trial)
            pages = cls()
            pages.begin(address, 4 * PAGE)
            ctypes.memset(address + 2 * PAGE, 1, 1)
            works = pages.take(address, 4 * PAGE) == [(2, 1)]
        except OSError:
            works = False
        if not works:
            os.close(descriptor)
            cls._descriptor = -1
        trial.close()
        return works

    def __init__(self) -> None:
        self._address = 0
        self._size = 0
        self._regions = (ctypes.c_uint64 * (3 * _REGIONS))()

    def begin(self, address: int, size: int) -> None:
        self._register(address, size)
        self._scan()

    def take(self, address: int, size: int) -> Ranges:
        if address == self._address and size == self._size:
            return self._scan()
        if address != self._address:
            self._register(address, size)
            self._scan()
            return [(0, size // PAGE)]
        before = self._size // PAGE
        written = self._scan()
        written.extend(not_zero(address, before, size // PAGE - before))
        self.begin(address, size)
        return written

    def close(self) -> None:
        """Unmapping the memory ends it."""

    def _register(self, address: int, size: int) -> None:
        self._address, self._size = address, size
        if size:
            request = bytearray(struct.pack("<QQQQ", address, size, _REGISTER_MODE_WP, 0))
            fcntl.ioctl(self._descriptor, _UFFDIO_REGISTER, request)

    def _scan(self) -> Ranges:
        """Lists the written pages and protects them again, in one step each region."""
        found: Ranges = []
        at, end = self._address, self._address + self._size
        vector = ctypes.addressof(self._regions)
        flags = _WP_MATCHING | _CHECK_WPASYNC
        while at < end:
            request = bytearray(
                struct.pack(
                    "<12Q",
                    96,
                    flags,
                    at,
                    end,
                    0,
                    vector,
                    _REGIONS,
                    0,
                    0,
                    _PAGE_IS_WRITTEN,
                    0,
                    _PAGE_IS_WRITTEN,
                )
            )
            count = fcntl.ioctl(self._pagemap, _PAGEMAP_SCAN, request)
            for index in range(count):
                first, last = self._regions[3 * index], self._regions[3 * index + 1]
                found.append(((first - self._address) // PAGE, (last - first) // PAGE))
            at = struct.unpack_from("<Q", request, 32)[0]
            if not count:
                break
        return found


# ---------------------------------------------------------------------------- anywhere: compare with a copy


class ShadowDirtyPages:
    """Keeps a copy of the memory as it was."""

    def __init__(self) -> None:
        self._shadow = mmap.mmap(-1, PAGE)
        self._size = 0

    def begin(self, address: int, size: int) -> None:
        if size > len(self._shadow):
            self._shadow.close()
            self._shadow = mmap.mmap(-1, size)
        self._size = size
        if size:
            ctypes.memmove(self._pointer(), address, size)

    def take(self, address: int, size: int) -> Ranges:
        same = min(size, self._size)
        written = differing(address, self._pointer(), same)
        if size != self._size:
            before = self._size // PAGE
            written.extend(not_zero(address, before, size // PAGE - before))
            self.begin(address, size)
        else:
            for first, count in written:
                ctypes.memmove(self._pointer() + first * PAGE, address + first * PAGE, count * PAGE)
        return written

    def close(self) -> None:
        self._shadow.close()

    def _pointer(self) -> int:
        return address_of(self._shadow)


def follow() -> DirtyPages:
    """The best way that this machine has."""
    return KernelDirtyPages() if KernelDirtyPages.available() else ShadowDirtyPages()
