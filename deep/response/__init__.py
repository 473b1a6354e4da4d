"""What a retraining does to an image model, in a feature space: response, bias, and prediction."""
