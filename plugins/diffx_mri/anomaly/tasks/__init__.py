"""The tasks of mri_anomaly."""
