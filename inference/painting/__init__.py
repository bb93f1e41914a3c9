"""Painting: the denoising loop with prompt, control, LoRAs, IP-Adapters, and its compiling.

In: a crop, its mask, control maps, a recipe. Out: a step at a time, then painted pictures.
Uses runtime, catalog, picture and recipe.
"""
