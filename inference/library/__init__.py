"""The library: jobs and their pictures, kept on disk beyond the end of the server.

In: accepted jobs with recipe, photo and mask; what became of them. Out: stored jobs by owner, the
next job to paint, files by name; API tokens, due callbacks. Uses picture and recipe.
"""
