"""Local analysis of a likelihood family: operators, constants, bounds."""
