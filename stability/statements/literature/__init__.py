"""Results of the literature on loops of this kind, re-derived in one notation, a module each."""
