"""Algorithm 1: the loop, its regimes and its random streams."""
