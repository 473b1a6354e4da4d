"""A Gaussian learner with a response and a bias that are known."""

import numpy as np

from stability.gaussian.learner import GaussianLearner


class Responding(GaussianLearner):
    """Model mean = J · (training mean) + δ, with variance 1."""

    def __init__(self, chains, dimension, response, bias):
        super().__init__(chains, dimension, covariance=np.eye(dimension))
        self.response, self.bias = response, bias

    def fit(self, datasets, rngs):
        super().fit(datasets, rngs)
        self.mean = self.response * self.mean + self.bias
