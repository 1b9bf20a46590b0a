"""mri_translate: a contrast that was not acquired, from one that was, slice by slice."""
