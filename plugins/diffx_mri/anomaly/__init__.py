"""mri_anomaly: what is not healthy in a brain scan, where, and how sure."""
