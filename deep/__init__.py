"""Diffusion and flow models of images, retrained on their own samples."""

import os

# As in `stability`, which is not imported here, since what runs in Ray's processes needs no torch.
if "OMP_WAIT_POLICY" not in os.environ:
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")
