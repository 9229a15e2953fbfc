"""What the engine keeps in its database comes back as it was."""

from __future__ import annotations

import json

import pytest

from icmigrate.contract.manifests import ManifestSummary
from icmigrate.copy.count import CopyCount
from icmigrate.engine.serializer import RecordSerializer
from icmigrate.errors import VerificationDifference

SUMMARY = ManifestSummary(
    generation=2, root=bytes(range(32)), records=7, record_bytes=900, blobs=1, blob_bytes=10, complete=True
)


def test_records_with_bytes_come_back_equal() -> None:
    kept = RecordSerializer()
    data = {"args": [SUMMARY, "capsule-1", 1.5, None], "kwargs": {"copied": CopyCount(chunks_sent=3)}}
    assert kept.deserialize(kept.serialize(data)) == data


def test_an_error_of_ours_comes_back_with_its_class_and_hint() -> None:
    kept = RecordSerializer()
    error = kept.deserialize(kept.serialize(VerificationDifference("two places differ", hint="look")))
    assert type(error) is VerificationDifference
    assert (str(error), error.hint) == ("two places differ", "look")


def test_a_class_of_somebody_else_is_never_made() -> None:
    planted = json.dumps({"record": "subprocess:Popen", "value": "{}"})
    with pytest.raises(TypeError, match="not a BaseModel of this package"):
        RecordSerializer().deserialize(planted)
