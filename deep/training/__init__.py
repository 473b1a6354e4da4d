"""One trainer and one way to draw images for all models, on one or several processes."""
