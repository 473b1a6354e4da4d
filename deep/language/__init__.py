"""Language models in the retraining loop: networks, training, and what is measured of text."""
