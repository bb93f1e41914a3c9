"""Finishing: enlarge, refine, faces, film grain, colour grading, safety checker.

In: painted crops and where they belong. Out: whole pictures with what is kept put back.
Uses painting, mask, control, runtime, catalog, picture and recipe.
"""
