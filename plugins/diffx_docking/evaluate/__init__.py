"""Figures of docking on complexes whose pose is known."""
