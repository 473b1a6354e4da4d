"""Forward-mode differentiation, of which `torch.func.hessian` consists, is set up by a deprecated torch.jit call."""

import warnings

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # torch's own business, once, at this import
    import torch._decomp.decompositions_for_jvp  # noqa: F401
