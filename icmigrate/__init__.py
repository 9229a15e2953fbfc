"""Moves one user's capsule out of a shared Internet Computer canister into a canister of their own."""
