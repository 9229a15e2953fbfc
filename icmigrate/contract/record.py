"""Values that cross the borders of the toolkit: records, the cases of variants, pages of lists.

Their plain form is that of `protocol/candid/method.py`; times are nanoseconds since 1970, cycles are integers,
principals are text.
"""

from __future__ import annotations

from typing import Any, ClassVar, Generic, TypeVar

from pydantic import BaseModel, ConfigDict, SerializerFunctionWrapHandler, model_serializer, model_validator


class Record(BaseModel):
    """An immutable value; unknown fields are refused, so that a changed contract is noticed."""

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_bytes="hex", val_json_bytes="hex")


class Case(Record):
    """One case of a Candid variant; the variant is the union of its cases.

    In plain form a case without fields is its `label`, one whose `payload` names a field is `{label: that field}`,
    any other `{label: its fields}`. It is made of its fields or of its plain form alike.
    """

    label: ClassVar[str]
    payload: ClassVar[str | None] = None

    @model_validator(mode="before")
    @classmethod
    def _from_plain(cls, value: Any) -> Any:
        if value == cls.label:
            return {}
        if isinstance(value, dict) and value.keys() == {cls.label}:
            carried = value[cls.label]
            return {cls.payload: carried} if cls.payload else carried
        return value

    @model_serializer(mode="wrap")
    def _to_plain(self, fields_of: SerializerFunctionWrapHandler) -> Any:
        fields = fields_of(self)
        if not fields:
            return self.label
        return {self.label: fields[self.payload] if self.payload else fields}


Item = TypeVar("Item")
Cursor = TypeVar("Cursor")


class Page(Record, Generic[Item, Cursor]):
    """One page of a list; `next` is the cursor of the following one, `None` on the last."""

    items: list[Item]
    next: Cursor | None
