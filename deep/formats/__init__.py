"""Files of weights: the official ones, those of diffusers, and the project's own."""
