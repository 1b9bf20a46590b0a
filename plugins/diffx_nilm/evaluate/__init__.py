"""Households whose meters are known: scores, figures and the report."""
