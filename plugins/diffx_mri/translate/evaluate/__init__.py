"""Translations against the truth: scores and figures."""
