"""A fresh world for each test."""

from tests.replica.system_canisters.world import world

__all__ = ["world"]
