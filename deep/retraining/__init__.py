"""Image models in Algorithm 1: the learner, what it is given, and what is shown of a run."""
