"""The ledgers, indexes and the minting canister of a local network of the official tools, answered by the replica."""
