"""A fresh world for each test."""

from tests.worlds.system_canisters import world

__all__ = ["world"]
