"""Laws in two dimensions, and what prefers some points to others."""
