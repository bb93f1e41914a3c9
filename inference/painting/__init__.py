"""Painting: the denoising loop with prompt, control, LoRAs, IP-Adapters, and its compiling.

In: a crop, its mask, control maps, a recipe. Out: one event per step, then painted pictures.
Uses runtime, catalog, picture and recipe.
"""
