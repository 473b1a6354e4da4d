"""Diffusion and flow models of images, retrained on their own samples."""
