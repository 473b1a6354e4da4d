"""Modes of a mixture in samples: weights, widths, and how many samples belong to one."""

from typing import Any

import numpy as np

from toy.densities.mixtures import IsotropicMixture

__all__ = ["mode_profile"]

HIGH_QUALITY = 3.0  # standard deviations, as in Srivastava et al. (2017)


def mode_profile(x: np.ndarray, truth: IsotropicMixture) -> dict[str, Any]:
    """Describe samples by the modes of a mixture; each counts to the nearest centre, however far.

    - `weights`: fractions of the modes, (K,).
    - `entropy`: theirs, in nats; log K if equal.
    - `covered`: modes that have a high-quality sample, one within 3 standard deviations of the
      centre.
    - `high_quality`: fraction of such samples; 1 − exp(−9/2) = 0.989 for the truth.
    - `width`: standard deviation of a coordinate about the mean of its mode, over the true one,
      all points included.
    - `width_median`: the same from the median distance to the mode's median point, which a few
      far points do not move.
    - `shift`: root mean square distance of the modes' means from the centres, over the true
      standard deviation.

    Args:
        x: Samples, (n, 2).
        truth: The mixture, of K components.

    Returns:
        The numbers by the names above; `weights` as a list.
    """
    x = np.asarray(x, dtype=float)
    k, sd = len(truth.centres), truth.sds
    distance = np.linalg.norm(x[:, None] - truth.centres, axis=2)  # (n, K)
    mode = distance.argmin(axis=1)
    counts = np.bincount(mode, minlength=k)
    present = counts > 0
    sums = np.stack(
        [np.bincount(mode, weights=x[:, axis], minlength=k) for axis in range(2)], axis=1
    )
    means = np.where(present[:, None], sums / np.maximum(counts, 1)[:, None], truth.centres)
    squares = np.square((x - means[mode]) / sd[mode, None]).sum(axis=1)
    middles = np.stack(
        [np.median(x[mode == m], axis=0) if present[m] else truth.centres[m] for m in range(k)]
    )
    robust_squares = np.square((x - middles[mode]) / sd[mode, None]).sum(axis=1)
    good = distance[np.arange(len(x)), mode] < HIGH_QUALITY * sd[mode]
    weights = counts / len(x)
    shifts = np.square((means - truth.centres)[present] / sd[present, None]).sum(axis=1)
    degrees_of_freedom = max(1, len(x) - int(present.sum()))
    return {
        "weights": weights.tolist(),
        "entropy": float(-(weights[present] * np.log(weights[present])).sum()),
        "covered": len(np.unique(mode[good])),
        "high_quality": float(good.mean()),
        "width": float(np.sqrt(squares.sum() / (2 * degrees_of_freedom))),
        # of a two-dimensional normal the squared distance is exponential, with median 2 ln 2
        # variances
        "width_median": float(np.sqrt(np.median(robust_squares) / (2 * np.log(2)))),
        "shift": float(np.sqrt(shifts.mean())),
    }
