"""Finishing: enlarge, refine, faces, film grain, colour grading, safety checker.

In: painted crops and their place in the photo. Out: whole pictures, kept pixels restored.
Uses painting, mask, control, runtime, catalog, picture and recipe.
"""
