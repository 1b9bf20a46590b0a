"""Anomaly maps against manual masks: scores and figures."""
