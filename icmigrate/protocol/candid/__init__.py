"""Candid specification: messages, their types and values, as Python sees them.

Types are ic-py's (`Types.Record({...})`, `Types.Vec(...)`, ...), so are the forms of the values. The codec is our own:
a blob of 1.9 MB takes about a millisecond either way.
"""

from icmigrate.errors import CandidError
from icmigrate.protocol.candid.reader import decode
from icmigrate.protocol.candid.types import Type, Types, field_hash
from icmigrate.protocol.candid.writer import encode

__all__ = ["CandidError", "Type", "Types", "decode", "encode", "field_hash"]
