"""What scripts/bench is made of: `cli` has its command line."""
