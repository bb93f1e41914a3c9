"""Pictures: photos in, geometry, compositing, results and files out.

In: untrusted files and URLs, painted crops. Out: `Photo`, `Result`, `Progress`, PNG with recipe and
mask embedded. Uses recipe.
"""
