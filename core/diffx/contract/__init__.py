"""What a plugin promises, tried out: `diffx plugins check` and `diffx.testing.PluginContract` run the same checks.

Each check yields one line for each thing that is wrong, and nothing where all is well. Importing this package imports
nothing: what a plugin's options drag in has to show.
"""
