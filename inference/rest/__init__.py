"""REST: prompts, tunes and pictures over HTTP, as the hosted service has them, and callbacks.

In: requests with a bearer token. Out: jobs in the library, prompt objects as JSON, pictures.
Uses serving, library, catalog, picture and recipe.
"""
