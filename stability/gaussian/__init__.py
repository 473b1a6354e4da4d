"""The Gaussian model: learner, collapse, means, and the factor alpha(n)."""
