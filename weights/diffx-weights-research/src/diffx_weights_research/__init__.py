"""Weights for diffx under a non-commercial licence; `diffx.yaml` names them. Nothing imports this package."""
