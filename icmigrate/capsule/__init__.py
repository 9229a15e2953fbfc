"""Which capsule is meant, and filling one."""
