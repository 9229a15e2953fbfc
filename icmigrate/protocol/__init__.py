"""Plumbing: the Internet Computer's protocol, from bytes to calls."""
