"""HTTP Gateway Protocol: plain HTTP requests, answered by canisters."""
