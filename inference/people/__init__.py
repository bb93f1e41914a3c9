"""People: finds people, their faces, points and parts in photographs.

In: a photograph. Out: meshes, bodies, the probability of each part. Uses picture and runtime.
"""
