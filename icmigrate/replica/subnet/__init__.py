"""One subnet: which message is executed next, what becomes true of it, who is told."""
