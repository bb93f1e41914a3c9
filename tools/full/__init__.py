"""Full-size models with random weights on a hub on this machine, and a table of what they do.

In: the catalog, and a folder for the repositories.
Out: what each style, control, adapter and finishing stage took, or why it failed.
"""
