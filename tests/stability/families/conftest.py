"""Forward-mode differentiation, of which `torch.func.hessian` consists, is set up by a
deprecated torch.jit call.
"""

import warnings

with warnings.catch_warnings():
    # torch's own business, once, at this import
    warnings.simplefilter("ignore", DeprecationWarning)
    import torch._decomp.decompositions_for_jvp  # noqa: F401
