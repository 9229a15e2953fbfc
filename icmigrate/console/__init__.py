"""All that is printed: for people, for programs, and the progress of long work."""
