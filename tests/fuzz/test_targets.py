"""Inputs near to proper ones are taken or refused; `scripts/fuzz` looks further and for longer."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fuzz.targets import TARGETS, feed

EDITS = st.lists(
    st.tuples(st.sampled_from(["flip", "cut", "insert", "repeat", "huge"]), st.floats(0, 1), st.integers(0, 255)),
    max_size=6,
)


def edited(seed: bytes, edits: list[tuple[str, float, int]]) -> bytes:
    data = bytearray(seed)
    for edit, where, value in edits:
        at = int(where * len(data))
        match edit:
            case "flip":
                data[at : at + 1] = bytes(byte ^ (value or 1) for byte in data[at : at + 1])
            case "cut":
                del data[at : at + value]
            case "insert":
                data[at:at] = bytes([value])
            case "repeat":
                data[at:at] = data[at : at + value]
            case "huge":
                data[at : at + 1] = b"\xff" * (value % 10)
    return bytes(data)


@pytest.mark.parametrize("name", TARGETS)
@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_bytes_are_taken_or_refused(name: str, data: st.DataObject) -> None:
    seed = data.draw(st.sampled_from(TARGETS[name].seeds))
    feed(name, edited(seed, data.draw(EDITS)))
