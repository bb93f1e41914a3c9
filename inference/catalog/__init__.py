"""Models: which there are, where each comes from, and their download.

In: catalog.toml, a user's own file, the model hub. Out: families, styles, local folders.
Uses recipe.
"""
