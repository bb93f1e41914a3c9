"""Serving: the page's handlers, HTTP endpoints, request filter, temporary files, Spaces.

In: requests from browsers and programs. Out: updates of the page, files, JSON.
Uses all rooms; only this one imports Gradio.
"""
