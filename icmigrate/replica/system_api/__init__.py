"""Interface Specification, "Canister interface (System API)": the functions of `ic0`."""
