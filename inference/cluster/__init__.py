"""Cluster: folders of photos and the REST service on more than one machine, by Ray.

In: addresses of photos, or requests with a bearer token. Out: pictures in a folder, or jobs and
pictures in the library. Uses rest and all rooms below; only this one imports Ray.
"""
