"""Studio: one job from start to end, models in memory, grids, folders of photos, lent GPUs.

In: photo and recipe. Out: progress, then a result.
Uses all rooms but serving.
"""
