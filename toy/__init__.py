"""Two-dimensional laboratory of iterative retraining."""

import stability  # noqa: F401  # before torch: it says how threads wait
