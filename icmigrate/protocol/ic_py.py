"""The parts of ic-py (module `ic`) that we build on, without importing all of it.

The package's own `__init__` pulls in an HTTP client and a parser generator's runtime (0.3 s). A package
whose body runs at the first access to one of its names behaves the same for everybody else and costs us
nothing.
"""

from __future__ import annotations

import importlib
import sys
from importlib.machinery import ModuleSpec
from importlib.util import find_spec, module_from_spec
from types import ModuleType
from typing import Any


def _lazy_package(spec: ModuleSpec) -> ModuleType:
    package = module_from_spec(spec)

    def load(name: str) -> Any:
        del package.__dict__["__getattr__"]
        assert spec.loader is not None
        spec.loader.exec_module(package)
        return getattr(package, name)

    package.__dict__["__getattr__"] = load
    return package


if "ic" not in sys.modules:
    _spec = find_spec("ic")
    if _spec is None:
        raise ImportError("ic-py is not installed")
    sys.modules["ic"] = _lazy_package(_spec)

candid: Any = importlib.import_module("ic.candid")
principal: Any = importlib.import_module("ic.principal")
