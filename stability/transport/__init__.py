"""Exact optimal transport: assignment, and Wasserstein distances."""
