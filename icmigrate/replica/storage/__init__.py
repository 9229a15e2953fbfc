"""The state folder: one transaction a message, files named by their hash, pages of memory."""
