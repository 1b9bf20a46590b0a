"""What `diffx run plugin=mri_translate task=` can be: one file a task."""
