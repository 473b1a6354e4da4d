"""Many runs of deep.retrain on one page."""
