"""Settings: the recipe with ranges, defaults and texts, and the prompt block in and out.

In: untrusted text, numbers and fields. Out: frozen, valid recipes, or `InvalidRecipe`.
Uses no other room.
"""
