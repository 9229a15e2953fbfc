"""Principals and their textual form."""

from __future__ import annotations

import contextlib
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from icmigrate.protocol.principal import ANONYMOUS, MANAGEMENT_CANISTER, Principal
from tests.processes import done


@pytest.mark.parametrize(
    ("text", "hex_"),
    [
        ("aaaaa-aa", ""),
        ("2vxsx-fae", "04"),
        ("rwlgt-iiaaa-aaaaa-aaaaa-cai", "00000000000000000101"),
        ("w7x7r-cok77-xa", "caffee"),
    ],
)
def test_the_textual_form_is_the_specification_s(text: str, hex_: str) -> None:
    assert Principal.from_str(text).bytes.hex() == hex_
    assert Principal(bytes.fromhex(hex_)).to_str() == text


@given(st.binary(max_size=29))
def test_every_principal_survives_its_textual_form(id_: bytes) -> None:
    principal = Principal(id_)
    again = Principal.from_str(principal.to_str())
    assert again == principal
    assert hash(again) == hash(principal)


@pytest.mark.parametrize(
    "text",
    ["", "aaaaa", "aaaaa-ab", "AAAAA-AA", "aaaaaaa", "w7x7r-cok77-xb", "w7x7rcok77xa", "é", "aaaaa-aa-", "1" * 80],
)
def test_a_text_that_is_not_exactly_a_principal_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="principal"):
        Principal.from_str(text)


@given(st.text(max_size=70))
def test_any_text_is_a_principal_or_a_value_error(text: str) -> None:
    with contextlib.suppress(ValueError):
        assert Principal.from_str(text).to_str() == text


def test_more_than_29_bytes_are_not_a_principal() -> None:
    with pytest.raises(ValueError, match="at most 29"):
        Principal(bytes(30))


def test_principals_of_our_kind_are_ic_py_s_too() -> None:
    from ic.principal import Principal as IcPyPrincipal

    assert isinstance(ANONYMOUS, IcPyPrincipal)
    assert IcPyPrincipal(b"\x04") == ANONYMOUS
    assert MANAGEMENT_CANISTER.to_str() == "aaaaa-aa"
    assert sorted([ANONYMOUS, MANAGEMENT_CANISTER]) == [MANAGEMENT_CANISTER, ANONYMOUS]


def test_importing_the_protocol_does_not_import_the_rest_of_ic_py() -> None:
    program = (
        "import sys, icmigrate.protocol.candid, icmigrate.protocol.envelope;"
        "print([name for name in ('httpx', 'antlr4', 'cbor2', 'aiohttp') if name in sys.modules]);"
        "import ic; print(ic.Client.__name__, ic.Principal.__name__)"
    )
    output = done([sys.executable, "-c", program])
    assert output.split("\n")[:2] == ["[]", "Client Principal"]
