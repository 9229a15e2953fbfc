"""Fuzzes one target with atheris, which follows what the code does with its input.

python -m tests.fuzz TARGET [libFuzzer's options and folders]
"""

from __future__ import annotations

import sys
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["icmigrate.protocol", "icmigrate.replica"]):
    from tests.fuzz.targets import TARGETS, feed


def main(name: str, options: list[str]) -> None:
    folder = Path(next((option for option in options if not option.startswith("-")), f"corpus/{name}"))
    folder.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(TARGETS[name].seeds):
        (folder / f"seed-{number}").write_bytes(seed)
    atheris.Setup([sys.argv[0], *options], lambda data: feed(name, data))
    atheris.Fuzz()


if __name__ == "__main__":
    if sys.argv[1:2] and sys.argv[1] in TARGETS:
        main(sys.argv[1], sys.argv[2:])
    else:
        sys.exit(f"usage: python -m tests.fuzz TARGET [options]; targets: {', '.join(TARGETS)}")
