"""Expectations: E f(x) as a weighted sum over points, exact, by quadrature, or by Monte Carlo.

What E means follows from how the law is given (see `stability.laws.law`):

- an array of points: E is the mean;
- a density: in 1-D and 2-D, E is adaptive Gauss–Kronrod quadrature with an error estimate, above it
  is Monte Carlo with a standard error; a discrete law is summed over its atoms;
- a sampler: Monte Carlo.
"""

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from stability.laws.capabilities import Discrete
from stability.laws.law import Data, Density, Empirical, as_law, draw, require_mass
from stability.laws.quadrature import NO_MASS_AT_ALL, Panels, Probe, panels

__all__ = ["Expectation", "Rule", "rule"]

Method = Literal["exact", "quadrature", "monte carlo"]

_FAR_OUT, _DECAYED = 1e6, 1e-6
"""Beyond so many scales an integrand must have fallen to this, relative to its integral."""
_ATOMS_TOLERANCE = 1e-6


@dataclass(frozen=True)
class Expectation:
    """An expectation: `value` (...), and `error` (...), of the same shape, what it may be wrong by.

    Attributes:
        error: 0 ("exact"), the difference between the two nested rules ("quadrature": an estimate
            that is in practice far above the true error), or one standard error ("monte carlo").
    """

    value: Tensor
    error: Tensor
    method: Method


@dataclass(frozen=True)
class Rule:
    """E f ≈ Σ weights_i f(points_i): points (k, d), weights (k,) >= 0.

    Attributes:
        slack: (k,) weights minus those of the coarser nested rule.
        panel: (k,) the panel a point belongs to.
        doubt: (k,) what else a weight may be wrong by: rounding, and its share of the mass that is
            not accounted for; >= 0.
    """

    points: Tensor
    weights: Tensor
    method: Method
    slack: Tensor
    panel: Tensor
    doubt: Tensor

    def expect(self, values: Tensor) -> Expectation:
        """E f from the values of f at `points`.

        Args:
            values: f at each point, (k, …).

        Returns:
            E f (…) and its error (…).

        Raises:
            ValueError: If a value is not finite.
        """
        if not torch.isfinite(values).all():
            where = self.points[(~torch.isfinite(values)).reshape(len(values), -1).any(1)][
                0
            ].tolist()
            raise ValueError(
                f"values must be finite where the law has mass, got NaN or Inf at x = {where}"
            )
        flat = values.reshape(len(values), -1)
        mean = self.weights @ flat
        if self.method == "monte carlo":
            error = (flat - mean).std(0) / math.sqrt(len(flat))
        else:
            by_panel = torch.zeros(int(self.panel.max()) + 1, flat.shape[1], dtype=torch.float64)
            error = by_panel.index_add(0, self.panel, self.slack[:, None] * flat).abs().sum(0)
            error = error + self.doubt @ flat.abs()
        return Expectation(
            mean.reshape(values.shape[1:]), error.reshape(values.shape[1:]), self.method
        )


def rule(
    data: Data,
    probe: Probe | None = None,
    *,
    tol: float | None = None,
    draws: int = 100_000,
    generator: torch.Generator | None = None,
) -> Rule:
    """A rule for expectations under a law, good for many functions at once.

    Args:
        data: Points (n, d), or (n,) on the line, a density, or a sampler.
        probe: Functions like those that the rule is for, (n, d) -> (n, c): quadrature refines until
            it has E of each, and the mass, up to `tol` times E of its absolute value (or until
            400,000 points: the error estimate tells).
        tol: By default 1e-10 on the line and 1e-7 in the plane; the true error is mostly smaller by
            a factor of 1000.
        draws: Number of points of Monte Carlo.
        generator: Source of Monte Carlo draws; by default seeded with 0, so that equal calls agree.

    Returns:
        The rule.

    Raises:
        ValueError: For bad data, and for a density whose mass is not 1.
    """
    law = as_law(data)
    if isinstance(law, Empirical):
        return _exact(
            law.points, torch.full((len(law.points),), 1 / len(law.points), dtype=torch.float64)
        )
    if isinstance(law, Density):
        if isinstance(law, Discrete) and law.atoms is not None:
            atoms = torch.as_tensor(law.atoms, dtype=torch.float64)
            weights = law.log_prob(atoms).exp()
            require_mass(law, 1 - float(weights.sum()), _ATOMS_TOLERANCE)
            return _exact(atoms[weights > 0], weights[weights > 0])
        if draw(law, 1, torch.Generator().manual_seed(0)).shape[1] <= 2:
            boxes = panels(law, probe, tol=tol)
            _require_decay(law, boxes, probe)
            return _nodes(boxes)
    points = draw(law, draws, generator or torch.Generator().manual_seed(0))
    weights = torch.full((draws,), 1 / draws, dtype=torch.float64)
    return Rule(points, weights, "monte carlo", 0 * weights, torch.arange(draws), 0 * weights)


def _require_decay(law: Density, boxes: Panels, probe: Probe | None) -> None:
    """ValueError if |f| p |x| is not small where p underflows, far out on the line: E f does not
    exist, or is lost.
    """
    if len(boxes.axes) > 1 or probe is None:
        return
    axis, found = next(iter(boxes.axes)), _nodes(boxes)
    size = found.weights @ probe(found.points).abs()
    for k in (int(found.points.argmin()), int(found.points.argmax())):
        x = found.points[k : k + 1]
        distance = (x[0, 0] - axis.centre).abs()
        left = probe(x)[0].abs() * law.log_prob(x).to(torch.float64).exp() * distance
        if distance > _FAR_OUT * axis.scale and (left > _DECAYED * size).any():
            raise ValueError(
                f"an expectation does not converge under {law!r}: at x = {float(x[0, 0]):.1g} its "
                "integrand has not "
                "decayed; has the law no such moment?"
            )


def _exact(points: Tensor, weights: Tensor) -> Rule:
    return Rule(
        points,
        weights,
        "exact",
        0 * weights,
        torch.zeros(len(points), dtype=torch.long),
        0 * weights,
    )


def _nodes(boxes: Panels) -> Rule:
    """The nodes of all panels as a list of points, without those that have no mass."""
    c, q, d = boxes.points.shape
    keep = (boxes.mass > NO_MASS_AT_ALL).reshape(-1)
    panel = torch.arange(c).repeat_interleave(q)
    mass, slack, doubt = (v.reshape(-1)[keep] for v in (boxes.mass, boxes.slack, boxes.doubt))
    points = boxes.points.reshape(-1, d)[keep]
    return Rule(points, mass, "quadrature", slack, panel[keep], doubt)
