"""Models in two dimensions, many chains side by side."""
