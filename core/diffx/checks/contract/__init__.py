"""What a plugin promises, tried out, the same by `diffx plugins check` and `diffx.checks.testing.PluginContract`.

Each check yields one line for each thing that is wrong, and nothing where all is well. Importing this package imports
nothing: what a plugin's options drag in has to show.
"""
