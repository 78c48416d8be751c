"""Latency of networks: the table of blocks, measured on this machine and fitted, or read from a file."""

from fairnas.latency.table import LatencyCheck, LatencyTable, read_latency_table, write_latency_table

__all__ = ["LatencyCheck", "LatencyTable", "read_latency_table", "write_latency_table"]
