"""The command line: one file a verb. Each parses, calls one function, prints one result."""
