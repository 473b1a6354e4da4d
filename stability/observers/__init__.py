"""What a study can measure of any learner's samples; each observer has its floor."""
