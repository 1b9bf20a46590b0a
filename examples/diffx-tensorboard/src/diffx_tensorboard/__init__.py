"""An extension of diffx that writes training curves for TensorBoard: extensions=tensorboard."""
