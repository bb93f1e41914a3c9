"""Serving: requests and their answers, HTTP endpoints, request filter, temporary files, Spaces.

In: requests from browsers and programs. Out: results as files and JSON.
Uses all rooms below; only this one and the page import Gradio.
"""
