"""Page: the components of the page, their handlers, and the HTML that they write.

In: what a visitor does. Out: updates of the components. Uses serving and all rooms below.
"""
