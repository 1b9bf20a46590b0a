"""Synthetic brains against real ones: the measures (segmenter, encoder, age regression), the figures, the pictures."""
