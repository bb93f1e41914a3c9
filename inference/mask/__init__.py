"""Mask: words to heatmaps, selection, signed distance field, brush, and the crop to paint.

In: a photo and a recipe's mask settings. Out: alpha at any resolution, data for the browser.
Uses matting, people, control, runtime, picture and recipe.
"""
