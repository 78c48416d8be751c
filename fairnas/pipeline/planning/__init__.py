"""What a run will cost, measured beforehand, and what fits into a given time."""
