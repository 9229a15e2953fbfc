"""Canisters that were executed lately stay loaded: the next message finds their memory as the last one left it."""

from __future__ import annotations

import ctypes
import time
from collections import Counter, OrderedDict
from threading import Lock

from icmigrate.protocol.principal import Principal
from icmigrate.replica.execution.instance import Instance
from icmigrate.replica.state.canister import Canister
from icmigrate.replica.state.code import MemoryImage
from icmigrate.replica.state.limits import Limits
from icmigrate.replica.storage.page_files import PageFiles
from icmigrate.replica.storage.store import Store
from icmigrate.replica.wasm.module import CompiledModule, ModuleCache


class WarmInstances:
    """An instance a canister, as many as `limits` allow. For all threads."""

    def __init__(self, store: Store, limits: Limits) -> None:
        self.modules = ModuleCache(store.compiled, limits)
        self._store = store
        self._limits = limits
        self._warm: OrderedDict[Principal, Instance] = OrderedDict()
        """Least recently used first; an instance that is being used is not among them."""
        self._lock = Lock()
        self.folds: Counter[Principal] = Counter()
        """How often a canister's page log was begun to be folded: who reads an older state sees newer pages since."""
        self._trimmed_at = time.monotonic()

    def compiled(self, canister: Canister) -> CompiledModule:
        """The compiled module of a canister that has one."""
        assert canister.module is not None
        digest = canister.module.hash
        known = self.modules.known(digest)
        if known is not None:
            return known
        data = self._store.get(self._store.modules, digest)
        if data is None:
            raise FileNotFoundError(f"the module {digest.hex()} is missing in {self._store.folder}")
        return self.modules.get(digest, data)

    def fresh(self, canister: Canister) -> Instance:
        """An instance of its own with the committed state, for whoever needs one besides the warm one."""
        instance = Instance(self.compiled(canister), self._store.page_files(canister.id))
        instance.load(canister.memory)
        return instance

    def acquire(self, canister: Canister) -> Instance:
        """An instance for the caller alone, until it is released."""
        with self._lock:
            instance = self._warm.pop(canister.id, None)
        return instance or self.fresh(canister)

    def release(self, canister_id: Principal, instance: Instance | None) -> None:
        """Gives an instance back, None for one that was discarded; makes room by discarding others."""
        with self._lock:
            if instance is not None:
                instance.used_at = time.monotonic()
                self._warm[canister_id] = instance
            dropped = []
            held = sum(each.bytes for each in self._warm.values())
            while self._warm and (len(self._warm) > self._limits.warm_instances or held > self._limits.warm_bytes):
                _, oldest = self._warm.popitem(last=False)
                held -= oldest.bytes
                dropped.append(oldest)
        for each in dropped:
            discard(each)

    def keep(self, canister_id: Principal, instance: Instance) -> None:
        """Makes an instance the warm one of a canister that has none."""
        self.release(canister_id, instance)

    def forget(self, canister_id: Principal) -> None:
        """Drops the warm instance: the committed state is no longer what it holds."""
        with self._lock:
            instance = self._warm.pop(canister_id, None)
        if instance is not None:
            discard(instance)

    def drop_idle(self) -> None:
        """Lets go of the instances that nobody used for a while, and of memory that nothing uses."""
        now = time.monotonic()
        limit = now - self._limits.idle_seconds
        with self._lock:
            idle = [canister_id for canister_id, each in self._warm.items() if each.used_at < limit]
        for canister_id in idle:
            self.forget(canister_id)
        if self._trimmed_at < limit:
            self._trimmed_at = now
            trim()

    def fold(self, canister: Canister) -> tuple[MemoryImage, PageFiles]:
        """Folds the canister's page log; the files that did it know what is stale after the commit."""
        self.folds[canister.id] += 1
        with self._lock:
            instance = self._warm.pop(canister.id, None)
        files = instance.files if instance is not None else self._store.page_files(canister.id)
        folded = files.fold(canister.memory)
        if instance is not None:
            self.release(canister.id, instance)
        return folded, files

    def close(self) -> None:
        """Discards all instances."""
        for canister_id in list(self._warm):
            self.forget(canister_id)


def trim() -> None:
    """Gives memory back that glibc keeps after large messages; other C libraries do it by themselves."""
    give_back = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if give_back is not None:
        give_back(0)


def discard(instance: Instance) -> None:
    """Closes an instance that nobody will use again."""
    instance.files.close()
    instance.close()
