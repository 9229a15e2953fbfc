"""The personal canister: its methods."""
