"""Running models: device, memory, loading, errors of libraries, caches, background tasks.

In: folders with models, work to run. Out: models on a device, errors of our tree.
Uses no other room.
"""
