"""Two-dimensional laboratory of iterative retraining."""
