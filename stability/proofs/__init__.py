"""Proofs by computer algebra, and numbers certified by ball arithmetic."""
