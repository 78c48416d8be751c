"""Studies over several trainings: the figures of the paper, and its Table 1 as measurements."""
