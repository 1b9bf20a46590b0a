"""Figures of drawn sounds beside those of real ones."""
