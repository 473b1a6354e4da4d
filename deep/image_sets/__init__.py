"""Readers of image data sets, one module a kind of file; `deep.data.load_images` chooses among
them.
"""
