import io
import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from scipy.stats import chi2

from stability.analysis.local_analysis import (
    analyse,
    contraction_bound,
    generalised_eigenvalues,
    jacobian,
    lipschitz_search,
    spectral_radius,
    stationary_covariance,
    table,
)
from stability.analysis.operators import NoMaximum
from stability.families import Linkage
from stability.families import StudentT as ShippedStudentT
from stability.laws.expectation import Member, NormalMixture
from stability.laws.psd import sqrtm
from tests.conftest import FALSE_ALARM
from tests.stability.analysis.test_operators import Normal, Redundant, StudentT, Variance, vector

MIXTURE = NormalMixture((0.7, 0.3), (-1.0, 2.0), (0.6, 1.0))


def positive_matrix(seed, d, rank, log_condition):
    """A symmetric matrix with `rank` eigenvalues in [10^−log_condition, 1] and the others 0."""
    rng = np.random.default_rng(seed)
    basis = np.linalg.qr(rng.normal(size=(d, d)))[0]
    values = np.where(np.arange(d) < rank, 10 ** (-log_condition * rng.random(d)), 0)
    return (basis * values) @ basis.T


@st.composite
def local_problems(draw):
    """A ≺ 0 with condition number <= 1e4, B ≼ 0 of any rank from 0 to d, and λ in [0, 1000]."""
    d = draw(st.integers(1, 5))
    seed = draw(st.integers(0, 2**31))
    A = -positive_matrix(seed, d, d, 4)
    B = -positive_matrix(seed + 1, d, draw(st.integers(0, d)), 4) * 10 ** draw(st.floats(-2, 2))
    return A, B, draw(st.floats(0, 1e3))


@given(local_problems())
def test_every_finite_lambda_contracts(problem):  # S1
    A, B, lam = problem
    # another route than `generalised_eigenvalues`
    mu = np.linalg.eigvals(np.linalg.solve(A, B)).real.max()
    rho = spectral_radius(jacobian(A, B, lam))
    # condition numbers up to 1e8
    assert rho == pytest.approx(lam * mu / (1 + lam * mu), rel=1e-6, abs=1e-9)
    assert rho < 1
    assert generalised_eigenvalues(A, B)[0][0] == pytest.approx(mu, rel=1e-6, abs=1e-9)
    metric = sqrtm(-A - lam * B)
    in_metric = metric @ jacobian(A, B, lam) @ np.linalg.inv(metric)
    assert np.linalg.norm(in_metric, 2) == pytest.approx(rho, rel=1e-6, abs=1e-9)
    assert np.abs(in_metric - in_metric.T).max() < 1e-6


def test_an_indefinite_b_does_not_contract():
    """Negative control for S1: it is B ≼ 0 that contracts, not the smallness of λ."""
    assert spectral_radius(jacobian(-np.eye(2), np.diag([0.9, -0.5]), 1.0)) == pytest.approx(9)


def test_the_euclidean_norm_may_exceed_one_although_the_iteration_contracts():
    t = 20.0
    change = np.array([[1.0, t], [0.0, 1.0]])  # shear of the parameters
    A, B = (-change.T @ np.diag(v) @ change for v in ([1.0, 1.0], [2.0, 0.1]))
    J = jacobian(A, B, 1.0)
    assert np.linalg.norm(J, 2) > 10
    assert spectral_radius(J) == pytest.approx(2 / 3, rel=1e-9)


@given(local_problems(), st.integers(1, 10_000))
def test_the_stationary_covariance_is_diagonal_where_a_and_b_are(problem, n):  # S3
    A, B, lam = problem
    mu, W = generalised_eigenvalues(A, B)
    expected = (W * (lam * mu / (1 + 2 * lam * mu) / n)) @ W.T
    V = stationary_covariance(A, B, lam, n)
    assert np.abs(V - expected).max() <= 1e-5 * np.abs(expected).max() + 1e-9 / n
    J, K = jacobian(A, B, lam), np.linalg.inv(A + lam * B)
    assert np.linalg.inv(np.eye(len(A)) - J) @ K == pytest.approx(
        np.linalg.inv(A), rel=1e-5, abs=1e-5
    )
    excess = np.linalg.eigvalsh(np.linalg.inv(-A) / (2 * n) - V)  # V ≼ ½ (−A)⁻¹/n, at any λ
    assert excess.min() >= -1e-8 * 1e4 / n


def test_the_stationary_covariance_of_a_simulated_recursion(rng):
    """θ ← Jθ − λK(score noise), noise of covariance F/(λn): the time average over many chains is
    V.
    """
    A, B, lam, n = (
        -np.array([[2.0, 0.5], [0.5, 1.0]]),
        -np.array([[1.0, -0.3], [-0.3, 3.0]]),
        2.0,
        10,
    )
    J, K = jacobian(A, B, lam), np.linalg.inv(A + lam * B)
    root = np.linalg.cholesky(-B / (lam * n))
    chains = 40_000
    theta = np.zeros((chains, 2))
    for _ in range(60):  # ρ^{120} < 1e-8
        theta = theta @ J.T - lam * rng.standard_normal((chains, 2)) @ root.T @ K.T
    V = stationary_covariance(A, B, lam, n)
    for direction in ([1.0, 0.0], [0.0, 1.0], [1.0, 1.0], [1.0, -1.0]):
        u = np.array(direction)
        # χ² with `chains` degrees of freedom, exactly
        statistic = ((theta @ u) ** 2).sum() / (u @ V @ u)
        low, high = chi2.isf([1 - FALSE_ALARM / 8, FALSE_ALARM / 8], chains)
        assert low < statistic < high


@given(
    lam=st.floats(0, 10),
    alpha=st.floats(0.01, 10),
    eps=st.floats(0, 10),
    lipschitz=st.floats(0, 10),
)
def test_bound_11_is_below_one_exactly_where_the_condition_holds(lam, alpha, eps, lipschitz):
    bound, condition = (
        contraction_bound(lam, alpha, eps, lipschitz),
        lam * (1 + lipschitz * eps / alpha),
    )
    if abs(condition - 0.5) > 1e-9:
        assert (bound < 1) == (condition < 0.5)
    if condition < 0.99:  # as printed
        printed = lam * (alpha + eps * lipschitz) / (alpha - lam * (alpha + eps * lipschitz))
        assert bound == pytest.approx(printed, rel=1e-9, abs=1e-12)
    if condition > 1:
        assert bound == math.inf


@given(local_problems())
# eqs. (79), (80) leave only this of the data
def test_bound_11_holds_for_any_b_within_l_eps_of_a(problem):
    A, B, lam = problem
    alpha, gap = -float(np.linalg.eigvalsh(A)[-1]), float(np.linalg.norm(A - B, 2))
    bound = contraction_bound(lam, alpha, gap, 1.0)
    assert np.linalg.norm(jacobian(A, B, lam), 2) <= bound * (1 + 1e-9) + 1e-300  # subnormal λ


@pytest.fixture(scope="module")
def student_t():
    """The worked example of theory.md, a user's family: `log_prob` and `sample` alone."""
    return analyse(StudentT(), MIXTURE, 0.05, vector(0.0, 0.0), n=1000)


def test_numbers_of_the_student_t_example(student_t):
    assert student_t.theta == pytest.approx([-0.36099, 0.26693], abs=5e-6)
    assert student_t.alpha == pytest.approx(0.41082, abs=5e-6)
    assert student_t.eps == pytest.approx(0.48414, abs=5e-6)
    assert student_t.lipschitz.value == pytest.approx(2.008, abs=5e-4)
    assert student_t.mu == pytest.approx([1.25381, 0.82666], abs=5e-6)
    assert student_t.norm == pytest.approx(0.06062, abs=5e-6)
    assert student_t.rho == pytest.approx(0.05899, abs=5e-6)
    assert student_t.bound == pytest.approx(0.2024, abs=5e-5)
    assert student_t.theorem1_applies
    assert student_t.lam_limit == math.inf
    at_one = student_t.at(1.0)
    assert at_one.rho == pytest.approx(0.55631, abs=5e-6)
    assert at_one.bound == math.inf
    assert at_one.stable
    assert not at_one.theorem1_applies
    limit = student_t.lam_limit_theorem
    assert student_t.at(limit * 0.999).theorem1_applies
    assert not student_t.at(limit * 1.001).theorem1_applies


def test_second_ways_to_the_same_numbers(student_t):
    assert student_t.fisher_gap < 1e-10
    # differences of G∞ with steps of 1e-3: their square, times G'''
    assert student_t.jacobian_gap < 1e-6
    assert student_t.jacobian_check == "finite differences of G∞"
    assert student_t.integration_error < 1e-8
    assert not student_t.lipschitz.is_upper_bound
    assert "lower bound" in student_t.lipschitz.reason
    assert student_t.half_life == pytest.approx(math.log(0.5, student_t.rho))
    # Fisher information of location and log-scale of Student's t, in closed form
    nu, s = 5.0, student_t.theta[1]
    fisher = np.diag([(nu + 1) / (nu + 3) * math.exp(-2 * s), 2 * nu / (nu + 3)])
    assert student_t.fisher == pytest.approx(fisher, abs=1e-9)


def test_a_spoiled_hessian_is_noticed(student_t):
    """Negative control of the two gaps."""
    spoiled = replace(student_t, B=1.01 * student_t.B)
    assert spoiled.fisher_gap > 5e-3
    assert np.abs(spoiled.J - student_t.J).max() > 1e-4


def test_the_search_finds_what_the_shipped_family_proves(student_t):
    shipped = analyse(ShippedStudentT(5.0), MIXTURE, 0.05)
    assert shipped.lipschitz.is_upper_bound
    assert student_t.lipschitz.value == pytest.approx(shipped.lipschitz.value, rel=1e-6)
    assert student_t.lipschitz.value <= shipped.lipschitz.value * (1 + 1e-9)
    assert shipped.theta == pytest.approx(student_t.theta, abs=1e-9)


def test_a_search_says_when_the_slope_keeps_growing():
    points = torch.linspace(-3, 3, 50, dtype=torch.float64)[:, None]
    # Hessian of log N(0, v) in v: 1/2v² − x²/v³, of slope 2x/v³, unbounded
    found = lipschitz_search(Variance(), vector(1.0), points, torch.Generator().manual_seed(0))
    assert found.value > 3000
    assert "may be infinite" in found.reason


class Reparametrised:
    """The same family in coordinates η, with θ = (η₀ + 0.5 sin η₁ + 0.3 η₁², 0.7 η₁ + 0.2 η₀)."""

    def __init__(self, family):
        self.family = family

    def original(self, eta):
        return torch.stack(
            [eta[0] + 0.5 * torch.sin(eta[1]) + 0.3 * eta[1] ** 2, 0.7 * eta[1] + 0.2 * eta[0]]
        )

    def log_prob(self, theta, x):
        return self.family.log_prob(self.original(theta), x)

    def sample(self, theta, n, generator):
        return self.family.sample(self.original(theta), n, generator)


def test_a_reparametrisation_changes_norms_but_no_rates(student_t):
    other = analyse(Reparametrised(StudentT()), MIXTURE, 0.05, vector(0.0, 0.0), n=1000)
    assert Reparametrised(StudentT()).original(
        torch.from_numpy(other.theta)
    ).tolist() == pytest.approx(student_t.theta.tolist(), abs=1e-9)
    for name in ("mu", "rho", "inflation", "eps", "half_life"):
        assert getattr(other, name) == pytest.approx(getattr(student_t, name), rel=1e-7), name
    spectra = [np.sort(np.linalg.eigvals(local.J).real) for local in (other, student_t)]
    assert spectra[0] == pytest.approx(spectra[1], rel=1e-7)
    for name in ("alpha", "norm", "bound"):
        assert getattr(other, name) != pytest.approx(getattr(student_t, name), rel=1e-2), name
    assert other.lipschitz.value != pytest.approx(student_t.lipschitz.value, rel=1e-2)


@pytest.mark.parametrize("family", [Normal(), Reparametrised(Normal())])
def test_exponential_families_have_one_rate_whatever_the_data(family):  # S2
    analysed = analyse(family, MIXTURE, 0.3, vector(0.0, 0.5))
    assert analysed.jacobian_gap < 1e-5
    assert analysed.mu == pytest.approx([1, 1], abs=1e-8)
    np.testing.assert_allclose(analysed.A, analysed.B, atol=1e-8)
    for lam in (0.0, 0.3, 4.0, 100.0):
        local = analysed.at(lam)
        np.testing.assert_allclose(local.J, lam / (1 + lam) * np.eye(2), atol=1e-8)
        np.testing.assert_allclose(
            local.V @ local.fisher, lam / (1 + 2 * lam) * np.eye(2), atol=1e-8
        )


def test_the_rate_is_not_universal_outside_exponential_families(student_t):
    """Negative control for S2."""
    assert np.abs(student_t.mu - 1).min() > 0.1


def test_the_inflation_of_a_well_specified_family():  # S3: 1.25, 1.333, 1.444
    truth = Member(StudentT(), vector(1.0, -0.5))
    analysed = analyse(StudentT(), truth, 1.0, vector(0.5, 0.0), n=7)
    assert analysed.eps < 1e-10
    assert analysed.theta == pytest.approx([1.0, -0.5], abs=1e-9)
    assert analysed.lam_limit_theorem == pytest.approx(0.5, abs=1e-8)
    for lam, stated in ((0.5, 1.25), (1.0, 4 / 3), (4.0, 13 / 9)):
        assert analysed.at(lam).inflation == pytest.approx([stated, stated], abs=1e-8)


def test_points_atoms_and_the_linkage_family():
    counts = [125, 18, 20, 34]  # Rao's data; the maximum-likelihood estimate is 0.6268
    local = analyse(Linkage(), np.repeat(np.arange(4.0), counts), 1.0)
    assert local.theta == pytest.approx([0.62682], abs=5e-6)
    t, f = local.theta[0], np.array(counts) / 197
    A = -(f[0] / (2 + t) ** 2 + (f[1] + f[2]) / (1 - t) ** 2 + f[3] / t**2)
    B = -(1 / (2 + t) + 2 / (1 - t) + 1 / t) / 4
    assert local.mu == pytest.approx([B / A], rel=1e-10)
    cdf = np.array([2 + t, 3, 4 - t]) / 4
    assert local.eps == pytest.approx(np.abs(np.cumsum(f)[:3] - cdf).sum(), rel=1e-10)
    assert "exact" in local.method


def test_more_than_two_dimensions_by_monte_carlo():
    x = torch.randn(200, 3, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    local = analyse(Normal(3), x, 1.0, torch.zeros(3, dtype=torch.float64), draws=20_000)
    assert local.theta == pytest.approx(x.mean(0).numpy(), abs=1e-9)
    assert local.rho == pytest.approx(0.5, abs=1e-9)  # the Hessian is constant
    assert local.jacobian_check.startswith("λ(A − λ E s sᵀ)")
    # E s sᵀ of 20,000 normal draws: 9 entries, sd at most √2/√20,000 = 0.01; a fixed seed
    assert local.fisher_gap < 0.05
    assert 0 < local.eps_floor < 1
    # in three dimensions W1 of equal laws varies little
    assert 0 < local.eps_floor_sd < 0.2 * local.eps_floor
    assert 0 < local.eps < 1
    floor = f"noise floor {local.eps_floor:.3g} ± {local.eps_floor_sd:.2g} (mean ± sd of 4 pairs)"
    shown = Console(width=200, file=io.StringIO())
    shown.print(local)
    assert floor in shown.file.getvalue()  # type: ignore[attr-defined]


def test_chords_between_atoms_give_the_constant_of_a_discrete_family():
    class Unaided:
        atoms = Linkage().atoms
        log_prob, sample = Linkage().log_prob, Linkage().sample
        in_domain = Linkage().in_domain

    x = np.repeat(np.arange(4.0), [125, 18, 20, 34])
    found = analyse(Unaided(), x, 1.0, vector(0.5)).lipschitz
    assert found.is_upper_bound
    assert found.value == pytest.approx(analyse(Linkage(), x, 1.0).lipschitz.value, rel=1e-9)


class Sampler:
    def sample(self, n, generator):
        return MIXTURE.sample(n, generator)


def test_a_sampler_alone_will_do(student_t):
    local = analyse(StudentT(), Sampler(), 0.05, vector(0.0, 0.0), draws=20_000)
    assert local.mu == pytest.approx(student_t.mu, abs=0.1)
    assert local.eps == pytest.approx(student_t.eps, abs=0.2)
    assert local.eps_floor > 0
    assert "monte carlo under the data" in local.method


def test_a_singular_fisher_information_is_no_obstacle():
    A, B = -np.diag([2.0, 1.0]), -np.diag([3.0, 0.0])
    mu, _ = generalised_eigenvalues(A, B)
    assert mu == pytest.approx([1.5, 0])
    assert jacobian(A, B, 2.0) == pytest.approx(np.diag([0.75, 0]))
    assert stationary_covariance(A, B, 2.0) == pytest.approx(np.diag([2 * 1.5 / 7 / 2, 0]))


def test_lambda_zero_is_one_fit():
    local = analyse(Normal(), MIXTURE, 0.0, vector(0.0, 0.0))
    assert (local.rho, local.norm, local.bound, local.condition, local.half_life) == (0, 0, 0, 0, 0)
    assert np.abs(local.V).max() == 0


def test_it_prints_and_goes_into_json(student_t):
    console = Console(width=120, record=True, file=io.StringIO())
    console.print(student_t)
    console.print(table(student_t.at(1.0)))
    text = console.export_text()
    for shown in (
        "0.20241",
        "0.058992",
        "0.060618",
        "0.48414",
        "vacuous",
        "not refuted",
        "≥ 2.0083",
        "< inf",
    ):
        assert shown in text
    plain = json.loads(json.dumps(student_t.to_dict(), allow_nan=False))
    assert plain["lam_limit"] == "inf"
    assert plain["mu"] == student_t.mu.tolist()
    assert plain["lipschitz"]["is_upper_bound"] is False
    assert json.loads(json.dumps(student_t.at(1.0).to_dict(), allow_nan=False))["bound"] == "inf"


def start():
    return vector(0.0, 0.0)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda: analyse(StudentT(), MIXTURE, math.inf, start()),
            ValueError,
            "lam must be finite and >= 0, got inf",
        ),
        (
            lambda: analyse(StudentT(), MIXTURE, -0.1, start()),
            ValueError,
            "lam must be finite and >= 0, got -0.1",
        ),
        (lambda: analyse(StudentT(), MIXTURE, 1.0), ValueError, "start must be given"),
        (
            lambda: analyse(StudentT(), MIXTURE, 1.0, start(), n=0),
            ValueError,
            "n must be >= 1, got 0",
        ),
        (
            lambda: analyse(StudentT(), np.array([0.0, np.nan]), 1.0, start()),
            ValueError,
            "NaN or Inf",
        ),
        (lambda: analyse(StudentT(), np.zeros((0, 1)), 1.0, start()), ValueError, "n >= 1"),
        (
            lambda: analyse(StudentT(), np.zeros(5), 1.0, start()),
            NoMaximum,
            "maximum|finite|concave",
        ),
        (
            lambda: analyse(Redundant(), MIXTURE, 1.0, start()),
            NoMaximum,
            "not strongly concave: alpha = ",
        ),
        (
            lambda: analyse(Normal(), np.random.default_rng(0).normal(size=(9, 2)), 1.0, start()),
            ValueError,
            "dimension",
        ),
        (lambda: contraction_bound(1.0, 0.0, 1.0, 1.0), ValueError, "alpha must be > 0"),
        (
            lambda: contraction_bound(1.0, 1.0, -1.0, 1.0),
            ValueError,
            "eps must be finite and >= 0, got -1",
        ),
        (
            lambda: contraction_bound(1.0, 1.0, 1.0, math.nan),
            ValueError,
            "lipschitz must be >= 0 or inf, got nan",
        ),
        (
            lambda: generalised_eigenvalues(np.diag([-1.0, 0.1]), -np.eye(2)),
            ValueError,
            "negative definite",
        ),
    ],
)
def test_what_cannot_be_analysed_says_why(call, error, message):
    with pytest.raises(error, match=message):
        call()
