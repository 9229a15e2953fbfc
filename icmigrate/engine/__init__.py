"""The durable engine, and the lease of a capsule."""
