"""What is true of the subnet after the last commit, as plain records; its ids, clock, limits and fees."""
