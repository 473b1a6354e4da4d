"""Distances between sets of images, the feature spaces that they are measured in, and the way of
the parameters.
"""
