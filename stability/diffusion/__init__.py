"""Diffusion and flow models: schedules, preconditioning, samplers, and what a sampler does to a
loop.

Every experiment draws with the samplers of this package, in two dimensions and on images, and the
width map is computed from the same coefficients.
"""
