"""An extension of diffx with one thing of each kind: solver `kutta3`, schedule `laplace`, network `mlp`."""
