"""The three U-Nets, with the tensors of the official ones name for name, and what they are made
of.
"""
