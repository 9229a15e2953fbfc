"""The Internet Computer's protocol, from bytes to calls."""
