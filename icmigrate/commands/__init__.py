"""The commands of `icmigrate`, a file each, and what runs them."""
