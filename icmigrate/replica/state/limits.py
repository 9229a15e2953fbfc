"""Interface Specification and the IC's resource limits: one table of numbers, all of them configuration."""

from __future__ import annotations

from dataclasses import dataclass

MIB = 1 << 20
GIB = 1 << 30
BILLION = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Limits:
    """Instructions are counted with the IC's weights. Sizes in bytes, times in nanoseconds unless named otherwise."""

    update_instructions: int = 40 * BILLION
    query_instructions: int = 5 * BILLION
    inspect_instructions: int = 200_000_000
    install_instructions: int = 300 * BILLION
    query_graph_instructions: int = 5 * BILLION
    """What a composite query and all that it calls may use together."""
    query_call_instructions: int = 50_000_000
    """What each of these calls counts as besides."""
    compile_instructions: int = 6_000
    """What compiling an instruction of a module counts as."""

    ingress_payload: int = 2 * MIB
    request_payload: int = 10 * MIB
    response_payload: int = 2 * MIB
    query_response_payload: int = 3 * MIB
    method_name_length: int = 20_000

    module_size: int = 100 * MIB
    code_section_size: int = 12 * MIB
    functions: int = 50_000
    globals: int = 1_000
    custom_sections: int = 16
    custom_sections_size: int = 1 * MIB
    exported_functions: int = 1_000
    exported_names_size: int = 20_000
    table_size: int = 1_000_000

    heap_pages_32: int = 65_536
    heap_pages_64: int = 6 * GIB // 65_536
    stable_pages: int = 500 * GIB // 65_536
    dirty_pages_update: int = 2 * GIB // 4096
    dirty_pages_install: int = 8 * GIB // 4096
    dirty_pages_query: int = 1 * GIB // 4096
    certified_data: int = 32

    queue_capacity: int = 500
    history_entries: int = 20
    snapshots: int = 10
    chunk_size: int = 1 * MIB
    chunk_store: int = 100 * MIB
    controllers: int = 10
    subnet_memory: int = 2_048 * GIB
    subnet_compute_percent: int = 200
    environment_variables: int = 20

    ingress_ttl: int = 300 * BILLION
    ingress_slack: int = 60 * BILLION
    ingress_retention: int = 300 * BILLION
    best_effort_timeout: int = 300 * BILLION

    warm_instances: int = 128
    warm_bytes: int = 2 * GIB
    idle_seconds: float = 60.0
    worker_threads: int = 8
    query_threads: int = 4
    page_log_bytes: int = 64 * MIB
