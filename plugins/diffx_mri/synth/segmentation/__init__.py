"""Grey matter, white matter and ventricles of skull-stripped brains, found by the shipped segmenter."""
