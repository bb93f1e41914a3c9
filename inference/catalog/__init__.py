"""Model catalog: families, styles, controls and LoRAs, their sources, and downloads.

In: catalog.toml, a user's own file, the model hub, a package index. Out: families, styles, local
folders. Uses recipe.
"""
