"""Lifetime of an n-gram that a text holds k times, where the model is its exact frequencies.

Frequencies of n-grams are refitted each round to λ generated ones a real one, beside the real text
(or to generated ones alone). In the limit of a long text the count of one n-gram in N draws is a
Poisson number with its expected count as mean, so the counts are a branching process: each of the
(k + Y)/(1 + λ) expected copies has Poisson offspring, Y the copies among the λN generated ones.
Source: Seddik et al. (arXiv:2404.05090) state the fully synthetic case in expectation; the closed
recursion beside real data follows from E e^{−uY'} = exp(−(1 − e^{−u}) E Y').
"""

import math

__all__ = ["loss_rate"]


def loss_rate(lam: float, t: int) -> float:
    """Rate h_t with which an n-gram of count k is absent from generation t: P = e^{−k h_t}.

    Without real data h_0 = 1 and h_{t+1} = 1 − e^{−h_t}, which tends to 0 like 2/t: everything is
    lost. Beside the real text it stays above 1/(1 + λ).

    Args:
        lam: Generated n-grams a real one in training, >= 0; inf: no real ones (as many generated).
        t: Retrainings so far, >= 0.

    Returns:
        h_t, in (0, 1].

    Raises:
        ValueError: If an argument is out of range.
    """
    if not lam >= 0 or t < 0:
        raise ValueError(f"lam and t must be >= 0, got {lam} and {t}")
    if math.isinf(lam):
        rate = 1.0
        for _ in range(t):
            rate = -math.expm1(-rate)
        return rate
    if t == 0:
        return 1.0

    # P = E exp(−u (k + Y)) at u = 1/(1 + λ), Y ~ copies in the last training set; back to round 1
    u = 1 / (1 + lam)
    total = u
    for _ in range(t - 1):
        u = lam / (1 + lam) * -math.expm1(-u)
        total += u
    return total - lam * math.expm1(-u)
