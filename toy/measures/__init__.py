"""Measurements of 2-D samples, as tables, figures and claims."""
