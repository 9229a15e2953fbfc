"""Candid specification, "Serialisation": a part of a message as a message of its own, without knowing its type.

For values that somebody hands back to where they came from: the HTTP gateway's streaming token.
"""

from __future__ import annotations

from collections.abc import Sequence

from icmigrate.errors import CandidError
from icmigrate.protocol.candid import types as t
from icmigrate.protocol.candid.reader import Compiler
from icmigrate.protocol.candid.source import Header, Source
from icmigrate.protocol.candid.types import Node, field_hash
from icmigrate.protocol.leb128 import encode_signed, encode_unsigned


def extract(data: bytes, path: Sequence[str], *, content: bool = False) -> bytes | None:
    """The first argument's part at `path`, names of fields and cases, as a message with that one value.

    Types and bytes are those of `data`. An opt on the way is gone through, with `content` also one at the end;
    None when one of them is null or a variant has another case. Raises `CandidError` when the types have no such part.
    """
    try:
        return _extract(data, path, content)
    except RecursionError:
        raise CandidError("the message is nested too deep") from None


def _extract(data: bytes, path: Sequence[str], content: bool) -> bytes | None:
    source = Source(data)
    header = Header(source)
    if not header.arguments:
        raise CandidError("a message without values")
    table = _type_table(data[: source.at], header)
    compiler = Compiler()
    node = header.arguments[0]
    for name in path:
        found = _go_into(source, compiler, node, field_hash(name))
        if found is None:
            return None
        node = found
    if content and node.opcode == t.OPT:
        if source.byte() == 0:
            return None
        node = node.inner()
    start = source.at
    compiler.skipper(node)(source)
    return b"".join((table, encode_unsigned(1), _reference(header, node), data[start : source.at]))


def _type_table(beginning: bytes, header: Header) -> bytes:
    """What stands before the types of the arguments."""
    references = [_reference(header, node) for node in header.arguments]
    arguments = encode_unsigned(len(references)) + b"".join(references)
    if not beginning.endswith(arguments):
        raise CandidError("the types of the arguments are not in their shortest form")
    return beginning[: -len(arguments)]


def _reference(header: Header, node: Node) -> bytes:
    return encode_signed(node.opcode if node.opcode in t.PRIMITIVES else header.table.index(node))


def _go_into(source: Source, compiler: Compiler, node: Node, id_: int) -> Node | None:
    """Reads up to where the field or case `id_` of the value begins; None when the value has it not."""
    while node.opcode == t.OPT:
        if source.byte() == 0:
            return None
        node = node.inner()
    if node.opcode == t.RECORD:
        for field in node.fields:
            if field.id == id_:
                return field.type
            compiler.skipper(field.type)(source)
    elif node.opcode == t.VARIANT:
        index = source.unsigned()
        if index < len(node.fields):
            field = node.fields[index]
            return field.type if field.id == id_ else None
    raise CandidError(f"the value has no part with the id {id_}")
