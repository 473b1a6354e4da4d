"""Language models in the retraining loop: networks, training, and measurements of text."""
