"""Moves one capsule from the hub into a personal canister; `workflow.py` is the file to read first."""
