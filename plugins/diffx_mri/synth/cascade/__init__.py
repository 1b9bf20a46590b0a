"""The cascade that draws voxels: each stage doubles the resolution of what the one before drew (Ho et al. 2022)."""
