"""What `diffx run plugin=mri_synth task=` can be: one file a task, but for the two inverse problems."""
