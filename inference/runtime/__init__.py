"""Running models: device, memory, loading, errors of libraries, caches, background tasks.

In: folders with models, work to run. Out: models on a device, Masquerade's errors.
Uses no other room.
"""
