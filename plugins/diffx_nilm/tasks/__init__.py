"""What `diffx run plugin=nilm task=` can be: one file a task."""
