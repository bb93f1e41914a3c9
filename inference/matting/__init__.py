"""Alpha matting: how much of each pixel along the mask's edge shows what is kept.

In: a picture, its mask as a signed distance, and where hair is. Out: alpha, and the kept colours
without the old background's. Uses picture and recipe.
"""
