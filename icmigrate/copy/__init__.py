"""Copies a capsule's blobs and records from the hub to the personal canister."""
