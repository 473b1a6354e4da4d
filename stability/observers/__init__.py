"""Observers: measurements of any learner's samples in a study; each observer has its floor."""
