"""The hub canister: its methods and its deployment."""
