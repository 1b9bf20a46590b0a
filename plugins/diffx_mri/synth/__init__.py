"""mri_synth: whole T1-weighted brains, conditioned on age and sex."""
