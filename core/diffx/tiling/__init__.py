"""Large states by overlapping windows."""
