"""How a command is set up: its settings and its identity."""
