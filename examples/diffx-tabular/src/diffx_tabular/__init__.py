"""Rows of mixed-type tables: a diffx plugin, in the manner of FinDiff (Sattarov et al. 2023)."""
