"""Control: maps that guide ControlNets, and the estimators of pose, depth and classes.

In: a picture. Out: control maps, key points. Uses people, picture and runtime.
"""
