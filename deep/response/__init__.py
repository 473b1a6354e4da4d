"""Effect of a retraining on an image model, in a feature space: response, bias and prediction."""
