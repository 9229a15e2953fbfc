"""Interface Specification, "Certification": the state tree, the keys, the certificates."""
