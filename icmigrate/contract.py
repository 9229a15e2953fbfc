"""The Candid types of `hub.did` and `personal.did` that the toolkit uses, and their plain Python form.

Plain form: `opt` is `None` or the value, a variant without payload is its label, one with payload is
`{label: payload}`, `blob` is `bytes`, a principal is its text. Everything but bytes is JSON as it stands.
A test holds these types equal to the `.did` files.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from icmigrate.protocol.candid import Types as T
from icmigrate.protocol.candid import decode, encode
from icmigrate.protocol.principal import Principal

Type = Any
"""A Candid type object of ic-py."""


def enumeration(*labels: str) -> Type:
    """A variant whose alternatives carry nothing."""
    return T.Variant({label: T.Null for label in labels})


BLOB = T.Vec(T.Nat8)
TEXTS = T.Vec(T.Text)

PERSON = T.Variant({"Principal": T.Principal, "Opaque": T.Text})
HOME = T.Variant({"Hub": T.Null, "Migrating": T.Null, "Moved": T.Principal})
ERROR = T.Variant(
    {
        "NotFound": T.Text,
        "Unauthorized": T.Text,
        "Invalid": T.Text,
        "Conflict": T.Text,
        "Migrating": T.Text,
        "Moved": T.Principal,
        "DigestMismatch": T.Text,
        "OutOfCycles": T.Record({"needed": T.Nat, "available": T.Nat}),
        "OutOfStorage": T.Text,
        "Upstream": T.Text,
    }
)

OWNER_STATE = T.Record({"person": PERSON, "since": T.Nat64, "last_activity_at": T.Nat64})
CONTROLLER_STATE = T.Record({"person": PERSON, "granted_at": T.Nat64, "granted_by": PERSON})
HOSTING = T.Record({"frontend": T.Text, "backend": T.Text, "database": T.Text, "blobs": T.Text})
SETTINGS = T.Record({"hosting": HOSTING, "has_advanced_settings": T.Bool, "triggered_events": TEXTS})
CAPSULE = T.Record(
    {
        "id": T.Text,
        "subject": PERSON,
        "owners": T.Vec(OWNER_STATE),
        "controllers": T.Vec(CONTROLLER_STATE),
        "settings": SETTINGS,
        "created_at": T.Nat64,
        "updated_at": T.Nat64,
    }
)
CAPSULE_UPDATE = T.Record(
    {
        "owners": T.Opt(T.Vec(PERSON)),
        "controllers": T.Opt(T.Vec(PERSON)),
        "settings": T.Opt(SETTINGS),
    }
)
CAPSULE_SUMMARY = T.Record(
    {
        "id": T.Text,
        "subject": PERSON,
        "memories": T.Nat64,
        "folders": T.Nat64,
        "galleries": T.Nat64,
        "access_entries": T.Nat64,
        "connections": T.Nat64,
        "groups": T.Nat64,
        "blobs": T.Nat64,
        "blob_bytes": T.Nat64,
        "record_bytes": T.Nat64,
        "home": HOME,
    }
)

MEMORY_TYPE = enumeration("Image", "Video", "Audio", "Document", "Note")
ASSET_VARIANT = T.Variant(
    {
        "Original": T.Null,
        "Display": T.Null,
        "Thumbnail": T.Null,
        "Placeholder": T.Null,
        "Metadata": T.Null,
        "Other": T.Text,
    }
)
ASSET_DETAIL = T.Variant(
    {
        "Image": T.Record(
            {
                "width": T.Opt(T.Nat32),
                "height": T.Opt(T.Nat32),
                "color_space": T.Opt(T.Text),
                "exif": T.Opt(T.Text),
                "dpi": T.Opt(T.Nat32),
                "orientation": T.Opt(T.Nat8),
            }
        ),
        "Video": T.Record(
            {
                "width": T.Opt(T.Nat32),
                "height": T.Opt(T.Nat32),
                "duration_ms": T.Opt(T.Nat64),
                "frame_rate_milli": T.Opt(T.Nat32),
                "codec": T.Opt(T.Text),
                "bitrate": T.Opt(T.Nat64),
            }
        ),
        "Audio": T.Record(
            {
                "duration_ms": T.Opt(T.Nat64),
                "sample_rate": T.Opt(T.Nat32),
                "channels": T.Opt(T.Nat8),
                "codec": T.Opt(T.Text),
                "bitrate": T.Opt(T.Nat64),
            }
        ),
        "Document": T.Record({"page_count": T.Opt(T.Nat32), "language": T.Opt(T.Text), "word_count": T.Opt(T.Nat32)}),
        "Note": T.Record({"format": T.Opt(T.Text), "language": T.Opt(T.Text), "word_count": T.Opt(T.Nat32)}),
    }
)
ASSET_LOCATION = T.Variant(
    {
        "Inline": BLOB,
        "Internal": T.Record({"sha256": BLOB, "length": T.Nat64}),
        "External": T.Record({"url": T.Text, "sha256": T.Opt(BLOB), "length": T.Opt(T.Nat64)}),
    }
)
ASSET = T.Record(
    {
        "variant_": ASSET_VARIANT,
        "name": T.Text,
        "description": T.Opt(T.Text),
        "mime_type": T.Text,
        "tags": TEXTS,
        "detail": ASSET_DETAIL,
        "location": ASSET_LOCATION,
        "created_at": T.Nat64,
        "updated_at": T.Nat64,
    }
)
MEMORY_METADATA = T.Record(
    {
        "memory_type": MEMORY_TYPE,
        "title": T.Opt(T.Text),
        "description": T.Opt(T.Text),
        "content_type": T.Text,
        "tags": TEXTS,
        "people": TEXTS,
        "location": T.Opt(T.Text),
        "notes": T.Opt(T.Text),
        "parent_folder_id": T.Opt(T.Text),
        "created_by": T.Opt(PERSON),
        "created_at": T.Nat64,
        "updated_at": T.Nat64,
        "uploaded_at": T.Nat64,
        "file_created_at": T.Opt(T.Nat64),
        "date_of_memory": T.Opt(T.Nat64),
    }
)
MEMORY = T.Record({"id": T.Text, "capsule_id": T.Text, "metadata": MEMORY_METADATA, "assets": T.Vec(ASSET)})
MEMORY_INPUT = T.Record(
    {
        "id": T.Opt(T.Text),
        "memory_type": MEMORY_TYPE,
        "title": T.Opt(T.Text),
        "description": T.Opt(T.Text),
        "content_type": T.Text,
        "tags": TEXTS,
        "people": TEXTS,
        "location": T.Opt(T.Text),
        "notes": T.Opt(T.Text),
        "parent_folder_id": T.Opt(T.Text),
        "file_created_at": T.Opt(T.Nat64),
        "date_of_memory": T.Opt(T.Nat64),
        "assets": T.Vec(ASSET),
    }
)
FOLDER = T.Record(
    {
        "id": T.Text,
        "capsule_id": T.Text,
        "title": T.Text,
        "description": T.Opt(T.Text),
        "parent_folder_id": T.Opt(T.Text),
        "created_at": T.Nat64,
        "updated_at": T.Nat64,
    }
)
FOLDER_INPUT = T.Record(
    {
        "id": T.Opt(T.Text),
        "title": T.Text,
        "description": T.Opt(T.Text),
        "parent_folder_id": T.Opt(T.Text),
    }
)
GALLERY_ITEM = T.Record(
    {"memory_id": T.Text, "caption": T.Opt(T.Text), "is_featured": T.Bool, "metadata": T.Opt(T.Text)}
)
GALLERY = T.Record(
    {
        "id": T.Text,
        "capsule_id": T.Text,
        "title": T.Text,
        "description": T.Opt(T.Text),
        "cover_memory_id": T.Opt(T.Text),
        "items": T.Vec(GALLERY_ITEM),
        "created_at": T.Nat64,
        "updated_at": T.Nat64,
    }
)
GALLERY_INPUT = T.Record(
    {
        "id": T.Opt(T.Text),
        "title": T.Text,
        "description": T.Opt(T.Text),
        "cover_memory_id": T.Opt(T.Text),
        "items": T.Vec(GALLERY_ITEM),
    }
)
RESOURCE = T.Variant({"Capsule": T.Null, "Memory": T.Text, "Folder": T.Text, "Gallery": T.Text})
ACCESS_CONDITION = T.Variant(
    {
        "Immediate": T.Null,
        "Scheduled": T.Record({"accessible_after": T.Nat64}),
        "ExpiresAt": T.Record({"expires": T.Nat64}),
        "EventTriggered": T.Record({"event": T.Text}),
    }
)
ROLE = enumeration("Owner", "SuperAdmin", "Admin", "Member", "Guest")
GRANT_SOURCE = enumeration("User", "Group", "MagicLink", "System")
ACCESS_ENTRY = T.Record(
    {
        "id": T.Text,
        "capsule_id": T.Text,
        "resource": RESOURCE,
        "person": T.Opt(PERSON),
        "role": ROLE,
        "permissions": T.Nat32,
        "source": GRANT_SOURCE,
        "source_id": T.Opt(T.Text),
        "condition": ACCESS_CONDITION,
        "is_public": T.Bool,
        "invited_by": T.Opt(PERSON),
        "created_at": T.Nat64,
        "updated_at": T.Nat64,
    }
)
ACCESS_INPUT = T.Record(
    {
        "id": T.Opt(T.Text),
        "resource": RESOURCE,
        "person": T.Opt(PERSON),
        "role": ROLE,
        "permissions": T.Nat32,
        "source": GRANT_SOURCE,
        "source_id": T.Opt(T.Text),
        "condition": ACCESS_CONDITION,
        "is_public": T.Bool,
    }
)
REACH = T.Record({"capsule_id": T.Text, "resource": RESOURCE, "permissions": T.Nat32})
MATRIX_ROW = T.Record({"person": T.Opt(PERSON), "resource": RESOURCE, "permissions": T.Nat32})
CONNECTION_STATUS = enumeration("Pending", "Accepted", "Blocked", "Revoked")
CONNECTION = T.Record(
    {
        "id": T.Text,
        "capsule_id": T.Text,
        "peer": PERSON,
        "status": CONNECTION_STATUS,
        "created_at": T.Nat64,
        "updated_at": T.Nat64,
    }
)
CONNECTION_INPUT = T.Record({"id": T.Opt(T.Text), "peer": PERSON, "status": CONNECTION_STATUS})
GROUP = T.Record(
    {
        "id": T.Text,
        "capsule_id": T.Text,
        "name": T.Text,
        "description": T.Opt(T.Text),
        "members": T.Vec(PERSON),
        "created_at": T.Nat64,
        "updated_at": T.Nat64,
    }
)
GROUP_INPUT = T.Record({"id": T.Opt(T.Text), "name": T.Text, "description": T.Opt(T.Text), "members": T.Vec(PERSON)})

BLOB_META = T.Record({"sha256": BLOB, "length": T.Nat64, "chunk_digests": BLOB})
UPLOAD_STATUS = T.Record({"sha256": BLOB, "length": T.Nat64, "received": BLOB, "complete": T.Bool})
RECORD_KIND = enumeration("Capsule", "Memory", "Folder", "Gallery", "AccessEntry", "Connection", "Group", "Blob")
RECORD_BYTES = T.Record({"kind": RECORD_KIND, "id": T.Text, "bytes": BLOB})
MANIFEST_LEAF = T.Record({"kind": RECORD_KIND, "id": T.Text, "digest": BLOB})
MANIFEST_NODE = T.Variant({"Leaf": T.Vec(MANIFEST_LEAF), "Inner": T.Vec(BLOB)})
MANIFEST_SUMMARY = T.Record(
    {
        "generation": T.Nat64,
        "root": BLOB,
        "records": T.Nat64,
        "record_bytes": T.Nat64,
        "blobs": T.Nat64,
        "blob_bytes": T.Nat64,
        "complete": T.Bool,
    }
)
CERTIFIED_ROOT = T.Record({"summary": MANIFEST_SUMMARY, "certificate": BLOB, "witness": BLOB})
CYCLES = T.Record(
    {
        "balance": T.Nat,
        "liquid": T.Nat,
        "reserved": T.Nat,
        "low_threshold": T.Nat,
        "is_low": T.Bool,
        "stable_bytes": T.Nat64,
        "heap_bytes": T.Nat64,
    }
)
OPERATION_COST = T.Record({"operation": T.Text, "calls": T.Nat64, "cycles": T.Nat})
ASSET_REF = T.Record({"memory_id": T.Text, "variant_": ASSET_VARIANT})
ASSET_TOKEN = T.Record({"memory_id": T.Text, "variant_": ASSET_VARIANT, "path": T.Text, "expires_at": T.Nat64})

MIGRATION_PHASE = enumeration("Reserved", "Created", "Installed", "Frozen", "CutOver", "HandedOff", "Aborted")
CYCLE_ENTRY = T.Record({"at": T.Nat64, "operation": T.Text, "amount": T.Nat, "balance_after": T.Nat})
MIGRATION = T.Record(
    {
        "id": T.Nat64,
        "capsule_id": T.Text,
        "phase": MIGRATION_PHASE,
        "operator": T.Principal,
        "canister_id": T.Opt(T.Principal),
        "module_hash": T.Opt(BLOB),
        "budget": T.Nat,
        "endowment": T.Nat,
        "ledger": T.Vec(CYCLE_ENTRY),
        "returned": T.Nat,
        "generation": T.Nat64,
        "root": T.Opt(BLOB),
        "reserved_at": T.Nat64,
        "frozen_at": T.Opt(T.Nat64),
        "cut_over_at": T.Opt(T.Nat64),
        "handed_off_at": T.Opt(T.Nat64),
    }
)
MIGRATION_QUOTE = T.Record(
    {
        "feasible": T.Bool,
        "problems": TEXTS,
        "budget": T.Nat,
        "creation_fee": T.Nat,
        "endowment": T.Nat,
        "call_reserve": T.Nat,
        "available": T.Nat,
        "wasm_sha256": T.Opt(BLOB),
        "active": T.Opt(MIGRATION),
    }
)
WASM_INFO = T.Record({"sha256": BLOB, "length": T.Nat64, "uploaded_at": T.Nat64})
HUB_INIT = T.Record({"operators": T.Vec(T.Principal)})
IMPORT_STATUS = T.Record(
    {
        "capsule_id": T.Text,
        "hub": T.Principal,
        "state": enumeration("Importing", "Sealed", "Live"),
        "generation": T.Nat64,
        "records": T.Nat64,
        "blobs_declared": T.Nat64,
        "blobs_complete": T.Nat64,
        "chunks_received": T.Nat64,
        "root": T.Opt(BLOB),
    }
)
MISSING_CHUNKS = T.Record({"sha256": BLOB, "missing": BLOB})


@dataclass(frozen=True)
class Method:
    """One method of a canister: argument types, result types, and whether it is a query."""

    name: str
    arguments: tuple[Type, ...]
    results: tuple[Type, ...]
    is_query: bool

    def encode(self, *values: object) -> bytes:
        """Arguments in plain form to Candid."""
        return encode(self.arguments, [to_candid(t, v) for t, v in zip(self.arguments, values, strict=True)])

    def decode(self, reply: bytes) -> Any:
        """The one result in plain form."""
        (value,) = decode(reply, self.results)
        return to_plain(self.results[0], value)


def result(ok: Type) -> Type:
    """`variant { Ok : ok; Err : Error }`."""
    return T.Variant({"Ok": ok, "Err": ERROR})


def page(item: Type, cursor: Type, items: str = "items") -> Type:
    """One page of a list, `next` being the cursor of the following one."""
    return result(T.Record({items: T.Vec(item), "next": T.Opt(cursor)}))


def _method(name: str, *arguments: Type, returns: Type, query: bool = False) -> tuple[str, Method]:
    return name, Method(name, arguments, (returns,), query)


def _collection(plural: str, item: Type, given: Type) -> list[tuple[str, Method]]:
    """The five methods that every kind of record has."""
    return [
        _method(f"{plural}_create", T.Text, given, returns=result(item)),
        _method(f"{plural}_get", T.Text, T.Text, returns=result(item), query=True),
        _method(f"{plural}_list", T.Text, T.Opt(T.Text), T.Nat32, returns=page(item, T.Text), query=True),
        _method(f"{plural}_update", T.Text, T.Text, given, returns=result(item)),
        _method(f"{plural}_delete", T.Text, T.Text, returns=result(T.Null)),
    ]


DATA_METHODS: dict[str, Method] = dict(
    [
        _method("capsules_get", T.Text, returns=result(CAPSULE), query=True),
        _method("capsules_summary", T.Text, returns=result(CAPSULE_SUMMARY), query=True),
        _method("capsules_update", T.Text, CAPSULE_UPDATE, returns=result(CAPSULE)),
        *_collection("memories", MEMORY, MEMORY_INPUT),
        *_collection("folders", FOLDER, FOLDER_INPUT),
        *_collection("galleries", GALLERY, GALLERY_INPUT),
        *_collection("connections", CONNECTION, CONNECTION_INPUT),
        *_collection("groups", GROUP, GROUP_INPUT),
        *_collection("access", ACCESS_ENTRY, ACCESS_INPUT),
        _method("access_effective", T.Text, RESOURCE, PERSON, returns=result(T.Nat32), query=True),
        _method("access_reach", T.Opt(REACH), T.Nat32, returns=page(REACH, REACH), query=True),
        _method(
            "access_matrix",
            T.Text,
            T.Nat64,
            T.Opt(BLOB),
            T.Nat32,
            returns=page(MATRIX_ROW, BLOB, "rows"),
            query=True,
        ),
        _method("uploads_begin", T.Text, BLOB, T.Nat64, returns=result(UPLOAD_STATUS)),
        _method("uploads_put_chunk", T.Text, BLOB, T.Nat32, BLOB, returns=result(T.Null)),
        _method("uploads_finish", T.Text, BLOB, returns=result(UPLOAD_STATUS)),
        _method("uploads_status", T.Text, BLOB, returns=result(UPLOAD_STATUS), query=True),
        _method("uploads_abort", T.Text, BLOB, returns=result(T.Null)),
        _method("blobs_get", T.Text, BLOB, returns=result(BLOB_META), query=True),
        _method("blobs_list", T.Text, T.Opt(BLOB), T.Nat32, returns=page(BLOB_META, BLOB), query=True),
        _method("blobs_read_chunk", T.Text, BLOB, T.Nat32, returns=result(BLOB), query=True),
        _method("manifest_root", T.Text, returns=result(CERTIFIED_ROOT), query=True),
        _method("manifest_node", T.Text, BLOB, returns=result(MANIFEST_NODE), query=True),
        _method(
            "manifest_leaves",
            T.Text,
            T.Opt(BLOB),
            T.Nat32,
            returns=page(MANIFEST_LEAF, BLOB),
            query=True,
        ),
        _method(
            "asset_tokens",
            T.Text,
            T.Vec(ASSET_REF),
            T.Nat64,
            returns=result(T.Vec(ASSET_TOKEN)),
            query=True,
        ),
        _method("cycles", returns=CYCLES, query=True),
        _method("cycles_by_operation", returns=T.Vec(OPERATION_COST), query=True),
    ]
)

HUB_METHODS: dict[str, Method] = DATA_METHODS | dict(
    [
        _method("capsules_create", T.Opt(PERSON), returns=result(CAPSULE)),
        _method(
            "capsules_list",
            T.Opt(T.Text),
            T.Nat32,
            returns=page(CAPSULE_SUMMARY, T.Text),
            query=True,
        ),
        _method("capsules_delete", T.Text, returns=result(T.Null)),
        _method("operators_list", returns=T.Vec(T.Principal), query=True),
        _method("operators_add", T.Principal, returns=result(T.Null)),
        _method("operators_remove", T.Principal, returns=result(T.Null)),
        _method(
            "export_records",
            T.Text,
            T.Opt(BLOB),
            T.Nat32,
            returns=page(RECORD_BYTES, BLOB, "records"),
            query=True,
        ),
        _method("wasm_begin", BLOB, T.Nat64, returns=result(UPLOAD_STATUS)),
        _method("wasm_put_chunk", T.Nat32, BLOB, returns=result(T.Null)),
        _method("wasm_finish", returns=result(WASM_INFO)),
        _method("wasm_info", returns=T.Opt(WASM_INFO), query=True),
        _method("registry_home", T.Text, returns=result(HOME), query=True),
        _method("migration_quote", T.Text, returns=result(MIGRATION_QUOTE), query=True),
        _method("migration_reserve", T.Text, returns=result(MIGRATION)),
        _method("migration_create_canister", T.Text, returns=result(MIGRATION)),
        _method("migration_install", T.Text, returns=result(MIGRATION)),
        _method("migration_freeze", T.Text, returns=result(MIGRATION)),
        _method("migration_thaw", T.Text, returns=result(MIGRATION)),
        _method("migration_build_manifest", T.Text, returns=result(MANIFEST_SUMMARY)),
        _method("migration_cut_over", T.Text, BLOB, returns=result(MIGRATION)),
        _method("migration_abort", T.Text, returns=result(MIGRATION)),
        _method("migration_handoff", T.Text, T.Opt(T.Principal), returns=result(MIGRATION)),
        _method("migration_get", T.Text, returns=result(T.Opt(MIGRATION)), query=True),
        _method(
            "migration_list",
            T.Opt(T.Nat64),
            T.Nat32,
            returns=page(MIGRATION, T.Nat64),
            query=True,
        ),
    ]
)

PERSONAL_METHODS: dict[str, Method] = DATA_METHODS | dict(
    [
        _method("import_status", returns=result(IMPORT_STATUS), query=True),
        _method("import_declare_blobs", T.Vec(BLOB_META), returns=result(T.Null)),
        _method(
            "import_missing_chunks",
            T.Opt(BLOB),
            T.Nat32,
            returns=page(MISSING_CHUNKS, BLOB),
            query=True,
        ),
        _method("import_put_chunk", BLOB, T.Nat32, BLOB, returns=result(T.Null)),
        _method("import_put_records", T.Nat64, T.Vec(RECORD_BYTES), returns=result(T.Null)),
        _method("import_seal", T.Nat64, returns=result(MANIFEST_SUMMARY)),
        _method("import_reopen", returns=result(IMPORT_STATUS)),
        _method("import_activate", BLOB, returns=result(IMPORT_STATUS)),
    ]
)


def to_plain(kind: Type, value: Any) -> Any:
    """A decoded Candid value in plain form."""
    match type(kind).__name__:
        case "OptClass":
            return to_plain(kind._type, value[0]) if value else None
        case "VecClass":
            if isinstance(value, bytes):
                return value
            return [to_plain(kind._type, item) for item in value]
        case "RecordClass":
            return {name: to_plain(field, value[name]) for name, field in kind._fields.items()}
        case "VariantClass":
            ((label, payload),) = value.items()
            inner = kind._fields[label]
            return label if type(inner).__name__ == "NullClass" else {label: to_plain(inner, payload)}
        case "PrincipalClass":
            return value.to_str()
        case _:
            return value


def to_candid(kind: Type, value: Any) -> Any:
    """A plain value in the form that the Candid encoder takes."""
    match type(kind).__name__:
        case "OptClass":
            return [] if value is None else [to_candid(kind._type, value)]
        case "VecClass":
            if isinstance(value, bytes | bytearray | memoryview):
                return value
            return [to_candid(kind._type, item) for item in value]
        case "RecordClass":
            return {name: to_candid(field, value[name]) for name, field in kind._fields.items()}
        case "VariantClass":
            if isinstance(value, str):
                return {value: None}
            ((label, payload),) = value.items()
            return {label: to_candid(kind._fields[label], payload)}
        case "PrincipalClass":
            return Principal.from_str(value) if isinstance(value, str) else value
        case _:
            return value
