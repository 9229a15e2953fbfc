"""What tests need of the machine."""

from __future__ import annotations

import os
import shutil
from typing import NoReturn

import pytest


def missing(what: str) -> NoReturn:
    """Skips the test, or fails it where ICMIGRATE_REQUIRE_ALL says that the machine has everything."""
    if os.environ.get("ICMIGRATE_REQUIRE_ALL"):
        pytest.fail(what)
    pytest.skip(what)


def program(*names: str) -> str:
    """Where the first of these programs that is installed is."""
    for name in names:
        if found := shutil.which(name):
            return found
    missing(f"{names[0]} is not installed")
