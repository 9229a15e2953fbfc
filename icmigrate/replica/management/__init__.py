"""Interface Specification, "The IC management canister": its methods, and what they do to a canister."""
