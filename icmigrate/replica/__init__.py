"""The embedded local replica: answers the Internet Computer's HTTP interface and executes canisters."""
