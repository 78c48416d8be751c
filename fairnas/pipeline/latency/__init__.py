"""How long networks take on a device: measured, fitted to a table, and of the published ones."""
