"""The tasks of docking."""
