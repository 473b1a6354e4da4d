"""Numbers as balls, with the true number inside: α(n), and what Theorem 1 needs for Student's t on
normal mixtures.

A ball (an `arb` of python-flint) is a midpoint and a radius, and every operation rounds outwards;
so what is true of the whole ball is proved. All integrals are in closed form, tails included
(`stability.proofs.symbolic.student_t` proves them). Needs the extra `certify`.
"""

import math
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from itertools import pairwise

from stability.families.lipschitz import bernstein
from stability.laws.law import NormalMixture

try:
    from flint import acb, arb, arb_mat, ctx
except ImportError as error:
    raise ImportError(
        "certified numbers need python-flint; install it with: pip install python-flint"
    ) from error

__all__ = [
    "Enclosure",
    "StudentTProblem",
    "alpha",
    "decimal",
    "enclose",
    "lipschitz_student_t",
    "norm",
    "precision",
    "printed_rate",
    "root_entry",
    "rounded",
    "spectral_radius",
]

_BITS = 128


def precision() -> AbstractContextManager[object]:
    """Context in which balls are computed with 128 bits; outside they are as true, but wider."""
    return ctx.workprec(_BITS)


def rounded(ball: arb, *, up: bool) -> float:
    """One end of a ball, rounded outwards.

    Args:
        ball: The ball.
        up: True for its upper end.

    Returns:
        The float nearest to the end among those above it (`up`) or below it.
    """
    end = ball.upper() if up else ball.lower()
    value = float(end)
    if (end <= value) if up else (end >= value):
        return value
    return math.nextafter(value, math.inf if up else -math.inf)


def decimal(value: float) -> arb:
    """The number that `value` prints as: 0.7 is 7/10, not the binary fraction nearest to it.

    Args:
        value: The number.

    Returns:
        Ball around its decimal value.
    """
    return arb(repr(value))


def alpha(n: int) -> arb:
    """α(n) of Proposition 1.

    Args:
        n: Sample size, >= 2.

    Returns:
        Ball that contains α(n).
    """
    half = arb(n - 1) / 2
    return ((half + arb(0.5)).lgamma() - half.lgamma()).exp() / half.sqrt()


def printed_rate(n: int) -> arb:
    """Rate α_2(n) = λmax(E √S)/√(n−1) for d = 2, from the paper's proof (E1).

    It is α(2n−1)·₂F₁(−½, 1; n−1; ½).

    Args:
        n: Sample size, >= 3.

    Returns:
        Ball that contains the rate.
    """
    return alpha(2 * n - 1) * arb(0.5).hypgeom_2f1(-arb(0.5), 1, n - 1)


def root_entry(n: int, spread: float) -> arb:
    """Enclosure of E (√Σ_1)_11/(√Σ_0)_11 for Σ_0 = diag(1, spread²).

    It lies between α(n) − ½ spread² E[1/χ_{n−1}]/√(n−1) and α(n). The lower end is proved in
    `stability.proofs.symbolic.proposition1.counterexample`, the upper one is Proposition 1.

    Args:
        n: Sample size, >= 3.
        spread: Second standard deviation of Σ_0, taken as a decimal.

    Returns:
        Ball that contains both ends.
    """
    freedom = arb(n - 1)
    inverse = (((freedom - 1) / 2).lgamma() - (freedom / 2).lgamma()).exp() / arb(2).sqrt()  # E 1/χ
    return alpha(n).union(
        alpha(n) - decimal(spread) * decimal(spread) / 2 * inverse / freedom.sqrt()
    )


@dataclass(frozen=True)
class Enclosure:
    """θ* = (μ, s), and α, L, ε, A, B there, for Student's t with ν degrees of freedom, scale e^s;
    cf. `LocalAnalysis`.

    θ* is proved to be the one maximiser of E_data log p_θ.
    """

    mu: arb
    log_scale: arb
    A: arb_mat
    B: arb_mat
    lipschitz: arb
    eps: arb

    @property
    def alpha(self) -> arb:
        """α = −λmax(A)."""
        a, b, _, d = self.A.entries()
        return -(a + d + abs(acb(a - d, 2 * b))) / 2

    @property
    def ratio(self) -> arb:
        """1 + Lε/α, which bounds ‖A⁻¹B‖₂ (79)."""
        return 1 + self.lipschitz * self.eps / self.alpha

    def jacobian(self, lam: arb) -> arb_mat:
        """J = λ(A + λB)⁻¹B (Lemma E.1, E3).

        Args:
            lam: Synthetic points per real point.

        Returns:
            Enclosure of the Jacobian, (2, 2).
        """
        return (self.A + self.B * lam).solve(self.B * lam)

    def relative(self, lam: arb) -> tuple[arb, arb]:
        """‖J‖₂/λ and ρ(J)/λ, which are not 0 at λ = 0.

        Args:
            lam: Synthetic points per real point.

        Returns:
            ‖J‖₂/λ and ρ(J)/λ.
        """
        J = (self.A + self.B * lam).solve(self.B)
        return norm(J), spectral_radius(J)

    def bound(self, lam: arb) -> arb:
        """Bound (11) on ‖J‖₂; infinite unless λ(1 + Lε/α) is certain to be < 1.

        Args:
            lam: Synthetic points per real point.

        Returns:
            Ball that contains the bound.
        """
        q = lam * self.ratio
        return q / (1 - q) if q < 1 else arb.pos_inf()


def norm(matrix: arb_mat) -> arb:
    """Spectral norm of a 2 × 2 matrix.

    Args:
        matrix: Matrix, (2, 2).

    Returns:
        Ball that contains the norm.
    """
    a, b, c, d = matrix.entries()
    return (abs(acb(a + d, b - c)) + abs(acb(a - d, b + c))) / 2


def spectral_radius(matrix: arb_mat) -> arb:
    """Spectral radius of a 2 × 2 matrix; nan unless its eigenvalues are certain to be real and to
    differ.

    Args:
        matrix: Matrix, (2, 2).

    Returns:
        Ball that contains the radius.
    """
    a, b, c, d = matrix.entries()
    return (abs(a + d) + ((a - d) * (a - d) + 4 * b * c).sqrt()) / 2


@lru_cache(maxsize=16)
def enclose(nu: int, data: NormalMixture) -> Enclosure:
    """Student's t with odd ν >= 3 fitted to a mixture of normal laws, whose numbers are taken as
    decimals.

    Args:
        nu: Degrees of freedom, odd and >= 3.
        data: Mixture of normal laws, with numbers taken as decimals.

    Returns:
        θ* with α, L, ε, A and B there.

    Raises:
        ValueError: Unless ν is odd and >= 3, and the weights sum to 1 as decimals.
        ArithmeticError: If the precision does not suffice.
    """
    if nu < 3 or nu % 2 != 1:
        raise ValueError(f"nu must be odd and >= 3, got {nu}")
    if sum(Fraction(repr(weight)) for weight in data.weights) != 1:
        raise ValueError(f"weights must have the sum 1 as decimals, got {data.weights}")

    with precision():
        mixture = [
            (decimal(weight), decimal(mean), decimal(sd))
            for weight, mean, sd in zip(data.weights, data.means, data.sds, strict=True)
        ]
        problem = StudentTProblem(nu, mixture)
        mu, log_scale = problem.maximiser()
        scale = log_scale.exp()
        fisher = [arb(nu + 1) / ((nu + 3) * scale * scale), arb(2 * nu) / (nu + 3)]
        return Enclosure(
            mu=mu,
            log_scale=log_scale,
            A=problem.hessian(mu, log_scale),
            B=arb_mat([[-fisher[0], 0], [0, -fisher[1]]]),
            lipschitz=lipschitz_student_t(nu, scale),
            eps=problem.distance(mu, scale),
        )


def lipschitz_student_t(nu: int, scale: arb, points: int = 2048) -> arb:
    """L, the supremum over the whole line of ‖d/dx ∇² log p‖₂, which on the circle φ has period π
    and is even.

    The entries have degree 3 in 2φ, so between points φ, at distance h in 2φ, the norm exceeds the
    largest at a point by sup ‖M''‖h²/8 <= 9h²/8·sup ‖M‖ at most (Bernstein), and sup ‖M‖ <=
    (largest at a point)/(1 − 9h²/8).

    Args:
        nu: Degrees of freedom, > 0.
        scale: Scale of the law, > 0.
        points: Number of cells of 0 <= φ <= π/2, >= 4.

    Returns:
        Ball that contains L.
    """
    largest = arb(0)
    root = arb(nu).sqrt()
    for i in range(points + 1):
        phi = arb.pi() * i / (2 * points)
        sin, cos = phi.sin_cos()
        corner = (3 * phi).cos() / (nu * scale)
        rows = (
            [-(3 * phi).sin() / (nu * root * scale * scale), corner],
            [corner, 2 * sin * (2 * phi).cos() / root],
        )
        largest = largest.max(norm(arb_mat(rows) * (2 * (nu + 1) * cos * cos * cos / scale)))
    step = arb.pi() / points
    return largest.union(largest / (1 - bernstein(3) * step * step / 8))


@dataclass(frozen=True)
class StudentTProblem:
    """E_data log p_θ and the distance between p_θ and the data: Student's t, and (weight, mean,
    sd) of normal laws.
    """

    nu: int
    mixture: list[tuple[arb, arb, arb]]

    def resolvents(self, mu: arb, log_scale: arb) -> tuple[acb, acb, arb]:
        """E 1/(ζ − x), its derivative in ζ, and τ: ζ = μ + iτ, τ = √ν e^s
        (`symbolic.student_t.complex_form`).

        Args:
            mu: Location μ.
            log_scale: Logarithm of the scale, s.

        Returns:
            E 1/(ζ − x), its derivative in ζ, and τ.
        """
        tau = arb(self.nu).sqrt() * log_scale.exp()
        g, slope = acb(0), acb(0)
        for weight, mean, sd in self.mixture:
            unit = sd * arb(2).sqrt()
            w, derivative = _faddeeva(acb(mu - mean, tau) / unit)
            front = acb(0, -1) * weight * (arb.pi() / 2).sqrt() / sd
            g += front * w
            slope += front / unit * derivative
        return g, slope, tau

    def gradient(self, mu: arb, log_scale: arb) -> arb_mat:
        """Gradient ∇_θ E log p_θ.

        Args:
            mu: Location μ.
            log_scale: Logarithm of the scale, s.

        Returns:
            Gradient, (2, 1).
        """
        g, _, tau = self.resolvents(mu, log_scale)
        return arb_mat([[-(self.nu + 1) * g.real], [self.nu + (self.nu + 1) * tau * g.imag]])

    def hessian(self, mu: arb, log_scale: arb) -> arb_mat:
        """Hessian ∇²_θ E log p_θ.

        Args:
            mu: Location μ.
            log_scale: Logarithm of the scale, s.

        Returns:
            Hessian, (2, 2).
        """
        g, slope, tau = self.resolvents(mu, log_scale)
        mixed = tau * slope.imag
        return arb_mat([[-slope.real, mixed], [mixed, tau * g.imag + tau * tau * slope.real]]) * (
            self.nu + 1
        )

    def maximiser(self) -> tuple[arb, arb]:
        """θ*, sought by EM and Newton's method without proof, then proved by one step of the
        interval Newton method.

        If N(X) = c − H(X)⁻¹∇(c) lies inside the box X about c, then X has exactly one critical
        point, and N(X) has it. There is no other anywhere (`symbolic.student_t.unique_maximiser`).

        Raises:
            ArithmeticError: If it does not.
        """
        mu = sum((weight * mean for weight, mean, _ in self.mixture), arb(0))
        variance = sum(
            (w * (sd * sd + (mean - mu) * (mean - mu)) for w, mean, sd in self.mixture), arb(0)
        )
        log_scale = variance.log() / 2
        for _ in range(100):
            g, _, tau = self.resolvents(mu, log_scale)
            # E w x/E w with the weights w = (ν + 1)/(ν + z²)
            mu = (mu + tau * g.real / g.imag).mid()
            g, _, tau = self.resolvents(mu, log_scale)
            # E w (x − μ)²
            log_scale = (log_scale + ((self.nu + 1) * (1 + tau * g.imag)).log() / 2).mid()
        theta = [mu, log_scale]
        for _ in range(8):
            step = self.hessian(*theta).solve(self.gradient(*theta)).entries()
            theta = [(value - change).mid() for value, change in zip(theta, step, strict=True)]
        return self.maximiser_near(theta)

    def maximiser_near(self, theta: list[arb]) -> tuple[arb, arb]:
        """θ* for all laws of the data, where these are a range, by one step of the interval Newton
        method from an exact point near it.

        Args:
            theta: μ and log-scale, without a radius.

        Raises:
            ArithmeticError: If no box about `theta` is proved to hold one critical point each.
        """
        gradient = self.gradient(*theta)
        first = self.hessian(*theta).solve(gradient).entries()
        box = [
            value + 2 * (step.union(-step)) + arb(0, 2.0 ** -(_BITS // 2))
            for value, step in zip(theta, first, strict=True)
        ]
        try:
            step = self.hessian(*box).solve(gradient).entries()
        except ZeroDivisionError:
            raise ArithmeticError(f"the Hessian may be singular near {theta}") from None
        image = [value - change for value, change in zip(theta, step, strict=True)]
        if not all(outer.contains_interior(inner) for outer, inner in zip(box, image, strict=True)):
            raise ArithmeticError(
                f"no critical point is certified near mu = {theta[0]}, log s = {theta[1]}"
            )
        return image[0], image[1]

    def distance(self, mu: arb, scale: arb) -> arb:
        """W1 = ∫|F − G| between the t law and the mixture: between its zeros F − G is integrated
        in closed form.

        Args:
            mu: Location μ.
            scale: Scale e^s, > 0.

        Returns:
            Ball that contains W1.

        Raises:
            ArithmeticError: If a tail or the zeros cannot be certified.
        """
        left, right = (self.tail(mu, scale, side) for side in (-1, 1))
        zeros = _zeros(
            lambda x: self.excess(mu, scale, x),
            lambda x: self.density_gap(mu, scale, x),
            left,
            right,
        )
        integrals = [arb(0), *(self.integral(mu, scale, zero) for zero in zeros)]
        # ∫(F − G) over all
        integrals.append(sum((weight * mean for weight, mean, _ in self.mixture), -mu))
        return sum((abs(b - a) for a, b in pairwise(integrals)), arb(0))

    def tail(self, mu: arb, scale: arb, side: int) -> arb:
        """A point beyond which F − G has no zero: there f > g, the densities.

        This holds at the point itself, and from there on each normal density falls faster than the
        t density: its logarithm has the slope |x − m|/s², that of f less than (ν + 1)/|x − μ|.

        Args:
            mu: Location μ.
            scale: Scale e^s, > 0.
            side: −1 for the left tail, 1 for the right one.

        Returns:
            The point, exact.

        Raises:
            ArithmeticError: If no point is certified.
        """
        for power in range(1, 20):
            x = (mu + side * scale * 2**power).mid()
            faster = all(
                side * (x - mean) > 0 and (x - mean) * (x - mu) > (self.nu + 1) * sd * sd
                for _, mean, sd in self.mixture
            )
            if faster and self.density_gap(mu, scale, x) > 0:
                return x
        raise ArithmeticError(f"no tail is certified for mu = {mu}, scale = {scale}")

    def excess(self, mu: arb, scale: arb, x: arb) -> arb:
        """F − G at x.

        Args:
            mu: Location μ.
            scale: Scale e^s, > 0.
            x: The point.

        Returns:
            Ball that contains the difference.
        """
        z = (x - mu) / scale
        return self._t_cdf(z) - sum(
            (w * _normal_cdf((x - m) / s) for w, m, s in self.mixture), arb(0)
        )

    def density_gap(self, mu: arb, scale: arb, x: arb) -> arb:
        """f − g at x, the derivative of `excess`.

        Args:
            mu: Location μ.
            scale: Scale e^s, > 0.
            x: The point.

        Returns:
            Ball that contains the difference.
        """
        z = (x - mu) / scale
        return self._t_density(z) / scale - sum(
            (w / s * _normal_density((x - m) / s) for w, m, s in self.mixture), arb(0)
        )

    def integral(self, mu: arb, scale: arb, x: arb) -> arb:
        """Integral of F − G from −∞ to x.

        Args:
            mu: Location μ.
            scale: Scale e^s, > 0.
            x: Upper end.

        Returns:
            Ball that contains the integral.
        """
        z = (x - mu) / scale
        of_t = scale * (z * self._t_cdf(z) + (self.nu + z * z) / (self.nu - 1) * self._t_density(z))
        of_data = arb(0)
        for weight, mean, sd in self.mixture:
            y = (x - mean) / sd
            of_data += weight * sd * (y * _normal_cdf(y) + _normal_density(y))
        return of_t - of_data

    def _t_density(self, z: arb) -> arb:
        half = arb(self.nu + 1) / 2
        front = (half.lgamma() - (arb(self.nu) / 2).lgamma()).exp() / (self.nu * arb.pi()).sqrt()
        return front * (1 + z * z / self.nu) ** (-(self.nu + 1) // 2)

    def _t_cdf(self, z: arb) -> arb:
        """`symbolic.student_t.distribution`."""
        root, series, term = arb(self.nu).sqrt(), arb(0), arb(1)
        for j in range(1, (self.nu + 1) // 2):
            series, term = series + term, term * 2 * j / (2 * j + 1) / (1 + z * z / self.nu)
        return arb(0.5) + ((z / root).atan() + z / root / (1 + z * z / self.nu) * series) / arb.pi()


def _faddeeva(z: acb) -> tuple[acb, acb]:
    """w(z) = e^(−z²) erfc(−iz) and w'(z) for Im z > 0, by the mean value theorem.

    w(z) is the integral of e^(−t²/4 + izt)/√π over t > 0, so at a height y = Im z its derivatives
    are at most |w'| <= min(2/√π, 1/(√π y²)) and |w''| <= min(2, 2/(√π y³)).
    """
    centre, root = acb(z.real.mid(), z.imag.mid()), arb.pi().sqrt()
    w = (-centre * centre).exp() * (acb(0, -1) * centre).erfc()
    slope = acb(0, 2) / root - 2 * centre * w
    height, reach = z.imag.lower(), abs(z - centre).upper()
    first = (2 / root).min(1 / (root * height * height)) * reach
    second = arb(2).min(2 / (root * height * height * height)) * reach
    return w + _disc(first), slope + _disc(second)


def _disc(radius: arb) -> acb:
    """All complex numbers of a modulus up to `radius`, and a few more."""
    within = radius.upper().union(-radius.upper())
    return acb(within, within)


def _normal_cdf(z: arb) -> arb:
    return (-z / arb(2).sqrt()).erfc() / 2


def _normal_density(z: arb) -> arb:
    return (-z * z / 2).exp() / (2 * arb.pi()).sqrt()


def _zeros(
    f: Callable[[arb], arb], slope: Callable[[arb], arb], left: arb, right: arb
) -> list[arb]:
    """All zeros of f in [left, right], in order: on each cell f has no zero, or one as its slope
    has one sign.
    """
    zeros: list[arb] = []
    cells = [(left, right)]
    while cells:
        a, b = cells.pop()
        # where symmetric problems have no zero
        cell, middle = a.union(b), (a + (b - a) * 0.47).mid()
        falls_or_rises = slope(cell)
        if _sign(f(middle) + falls_or_rises * (cell - middle)):  # the mean value form
            continue
        if not _sign(falls_or_rises):
            if b - a < arb(2) ** (-_BITS // 3):
                raise ArithmeticError(f"the zeros near {middle} cannot be told apart")
            cells += [(middle, b), (a, middle)]
            continue
        at_a, at_b = _sign(f(a)), _sign(f(b))
        if not (at_a and at_b):
            raise ArithmeticError(f"the sign at {a} or {b} is not certain")
        if at_a != at_b:
            zeros.append(_refine(f, slope, cell))
    return zeros


def _sign(x: arb) -> int:
    """1 or −1 if that is certain, else 0."""
    return int(x > 0) - int(x < 0)


def _refine(f: Callable[[arb], arb], slope: Callable[[arb], arb], cell: arb) -> arb:
    """The one zero in a cell where the slope has one sign, by the interval Newton method, which
    cannot lose it.
    """
    for _ in range(100):
        middle = cell.mid()
        narrower = cell.intersection(middle - f(middle) / slope(cell))
        if not narrower.rad() < cell.rad():
            break
        cell = narrower
    return cell
