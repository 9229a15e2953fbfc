"""The shipped Wasm modules and what they were built from."""

import gzip
import shutil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from icmigrate import wasm
from icmigrate.wasm import sources

CANISTERS = Path(__file__).parents[2] / "canisters"
EMPTY_MODULE = b"\x00asm\x01\x00\x00\x00"


@pytest.mark.parametrize("name", wasm.NAMES)
def test_the_shipped_module_belongs_to_the_sources(name: str) -> None:
    sources.check(name)
    assert sources.section(wasm.module(name), sources.CANDID_SECTION) == wasm.candid(name).encode()


@given(st.dictionaries(st.text(max_size=20), st.binary(max_size=300), max_size=4), st.binary(max_size=300))
def test_sections_are_read_back_and_replaced(stamped: dict[str, bytes], newer: bytes) -> None:
    module = sources.stamp(EMPTY_MODULE, stamped)
    for name, content in stamped.items():
        assert sources.section(module, name) == content
        again = sources.stamp(module, {name: newer})
        assert sources.section(gzip.compress(again), name) == newer
    assert sources.section(module, "a name that nobody has used") is None


def test_every_source_file_counts_and_native_tests_do_not(tmp_path: Path) -> None:
    copy = tmp_path / "canisters"
    shutil.copytree(CANISTERS, copy, ignore=shutil.ignore_patterns("target"))
    before = sources.digest("hub", copy)
    assert before == sources.digest("hub", CANISTERS)
    for path in ["Cargo.toml", "Cargo.lock", "hub/hub.did", "hub/src/lib.rs", "blobs/src/lib.rs"]:
        original = (copy / path).read_bytes()
        (copy / path).write_bytes(original + b"\n")
        assert sources.digest("hub", copy) != before, path
        (copy / path).write_bytes(original)
    (copy / "blobs/src/tests.rs").write_bytes(b"")
    (copy / "personal/src/lib.rs").write_bytes(b"")
    assert sources.digest("hub", copy) == before


def test_a_module_of_other_sources_is_stale(tmp_path: Path) -> None:
    interface = (CANISTERS / "hub/hub.did").read_bytes()
    digest = sources.digest("hub").encode()
    (tmp_path / "hub.did").write_bytes(interface)
    for sections, stale in [
        ({sources.CANDID_SECTION: interface, sources.SOURCES_SECTION: digest}, None),
        ({sources.CANDID_SECTION: interface, sources.SOURCES_SECTION: b"0" * 64}, "other sources"),
        ({sources.CANDID_SECTION: b"service : {}", sources.SOURCES_SECTION: digest}, "hub.did"),
        ({}, "other sources"),
    ]:
        (tmp_path / "hub.wasm.gz").write_bytes(gzip.compress(sources.stamp(EMPTY_MODULE, sections)))
        if stale is None:
            sources.check("hub", tmp_path)
        else:
            with pytest.raises(sources.StaleModuleError, match=stale):
                sources.check("hub", tmp_path)
    with pytest.raises(sources.StaleModuleError, match="not built yet"):
        sources.check("personal", tmp_path)
