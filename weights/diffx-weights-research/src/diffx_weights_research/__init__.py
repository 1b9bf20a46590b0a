"""Weights for diffx under a non-commercial licence; `diffx.yaml` names them. diffx finds them without importing this."""
