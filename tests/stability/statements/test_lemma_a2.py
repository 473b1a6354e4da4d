import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chi, norm

from stability.gaussian.alpha import alpha, alpha_isotropic
from stability.laws.psd import sqrtm
from stability.statements import lemma_a2
from stability.statements.lemma_a2 import GRID, check, counterexamples, expected_root
from stability.statements.verdict import Status
from tests.conftest import FALSE_ALARM
from tests.support.mutated import controls

RANDOM = 5 * (len(GRID) + 2)  # at most so many verdicts that chance decides, in all the tests below
GOOD = (Status.HOLDS, Status.CORRECTED)
variances = st.floats(-6, 6).map(lambda u: 10.0**u)
samples = st.one_of(st.integers(3, 40), st.floats(1.5, 12).map(lambda u: int(10**u)))


@pytest.mark.parametrize("instance", GRID, ids=str)
def test_the_grid_holds(instance, rng):
    verdicts = check(**instance, rng=rng, chains=40_000, false_alarm=FALSE_ALARM / RANDOM)
    for verdict in verdicts:
        assert verdict.status in GOOD, verdict
    fourth = next(verdict for verdict in verdicts if verdict.claim == lemma_a2.RATE.id)
    isotropic = np.allclose(instance["covariance"], np.eye(len(instance["covariance"])))
    assert fourth.status is (Status.HOLDS if isotropic else Status.CORRECTED)


def test_one_dimension_needs_no_correction(rng):
    verdicts = check(7, [[3.0]], rng, chains=40_000, false_alarm=FALSE_ALARM / RANDOM)
    assert all(verdict.status in GOOD for verdict in verdicts), verdicts
    (fourth,) = (verdict for verdict in verdicts if verdict.claim == "Lemma A.2 iv")
    assert fourth.status is Status.HOLDS
    assert fourth.tightness == pytest.approx(1, abs=1e-14)


def test_every_mutation_is_noticed(rng):
    for verdict in controls(lemma_a2, rng):
        assert verdict.status is Status.VIOLATED, verdict


def test_the_counterexample_of_erratum_e1():
    """0.921 against the paper's 0.873, and below α(4) = 0.92132."""
    (verdict,) = counterexamples()
    assert verdict.status is Status.VIOLATED
    assert verdict.measured == pytest.approx(0.921295, abs=5e-7)
    assert verdict.stated == pytest.approx(0.873464, abs=5e-7)
    assert verdict.measured < alpha(4)


def test_the_expected_root_by_a_triple_integral():
    """Over Bartlett's entries: √(A Aᵀ scaled) by psd.sqrtm, not by the formula for its corner."""
    n, scale = 4, np.sqrt([1.0, 0.09])

    def integrand(b, c, a, i):
        A = scale[:, None] * np.array([[a, 0.0], [b, c]])
        return sqrtm(A @ A.T)[i, i] * chi.pdf(a, n - 1) * chi.pdf(c, n - 2) * norm.pdf(b)

    # Gauss-Legendre on a box outside of which there is less than 1e-9
    x, w = np.polynomial.legendre.leggauss(24)
    a, wa = 3.5 + 3.5 * x, 3.5 * w
    b, wb = 6.5 * x, 6.5 * w
    total = np.zeros(2)
    for ai, wi in zip(a, wa, strict=True):
        for cj, wj in zip(a, wa, strict=True):
            for bk, wk in zip(b[b > 0], wb[b > 0], strict=True):  # even in b
                total += [2 * wi * wj * wk * integrand(bk, cj, ai, i) for i in range(2)]
    np.testing.assert_allclose(total / math.sqrt(n - 1), expected_root(n, scale**2), rtol=1e-5)


@given(n=samples, one=variances, two=variances)
def test_between_the_printed_and_the_corrected_rate(n, one, two):
    """The wider direction shrinks less than the isotropic rate says, the narrower more, both at
    most by α(n).
    """
    ratio = expected_root(n, [one, two]) / np.sqrt([one, two])
    printed, corrected = alpha_isotropic(n, 2).value, float(alpha(n))
    assert (ratio <= corrected + 1e-12).all()
    assert max(ratio) >= printed - 1e-12
    assert min(ratio) <= printed + 1e-12
    assert (ratio[0] >= ratio[1] - 1e-12) == (one >= two) or abs(ratio[0] - ratio[1]) < 1e-12


@given(n=samples, one=variances, two=variances, scale=variances)
def test_units_and_order_do_not_matter(n, one, two, scale):
    roots = expected_root(n, [one, two])
    np.testing.assert_allclose(
        expected_root(n, [scale * one, scale * two]), np.sqrt(scale) * roots, rtol=1e-12
    )
    np.testing.assert_allclose(expected_root(n, [two, one])[::-1], roots, rtol=1e-12)


@given(n=samples, variance=variances)
def test_the_two_ends(n, variance):
    """A multiple of I shrinks by α_2(n); beside nothing, a direction shrinks by α(n)."""
    np.testing.assert_allclose(
        expected_root(n, [variance] * 2),
        alpha_isotropic(n, 2).value * np.sqrt(variance),
        rtol=1e-12,
    )
    assert expected_root(n, [variance, 1e-26 * variance])[0] == pytest.approx(
        float(alpha(n)) * math.sqrt(variance), rel=1e-11
    )


@given(d=st.integers(1, 5), seed=st.integers(0, 2**32 - 1))
def test_the_two_steps_of_the_corrected_proof(d, seed):
    """√(D M D) = D √M D for sign flips D, and (√M)_ii ≤ √M_ii."""
    generator = np.random.default_rng(seed)
    z = generator.standard_normal((d + 2, d)) * 10.0 ** generator.uniform(-2, 2, d)
    M, flips = z.T @ z, generator.choice([-1.0, 1.0], d)
    root = sqrtm(M)
    np.testing.assert_allclose(
        sqrtm(M * np.outer(flips, flips)), root * np.outer(flips, flips), atol=1e-9 * root.max()
    )
    assert (root.diagonal() <= np.sqrt(M.diagonal()) + 1e-9 * root.max()).all()


@pytest.mark.parametrize(("n", "variances"), [(2, [1, 1]), (3.5, [1, 1])])
def test_bad_n_of_the_expected_root(n, variances):
    with pytest.raises(ValueError, match="n must be a whole number >= 3, got"):
        expected_root(n, variances)


@pytest.mark.parametrize("variances", [[1.0], [1.0, 0.0], [1.0, np.inf], [[1.0, 1.0]]])
def test_bad_variances(variances):
    with pytest.raises(ValueError, match="variances must be two finite positive numbers"):
        expected_root(4, variances)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"n": 2}, r"n must be a whole number >= d \+ 1 = 3, got 2"),
        ({"covariance": np.diag([1.0, 0.0])}, "eigenvalues > 0 within a factor 1e10"),
        ({"covariance": [[1.0, 2.0], [0.0, 1.0]]}, "square symmetric"),
        ({"false_alarm": 1.0}, r"false_alarm must be in \(0, 1\), got 1"),
        ({"chains": 10}, "chains must be >= [0-9]+ for a normal tail"),
    ],
)
def test_bad_arguments(change, message, rng):
    with pytest.raises(ValueError, match=message):
        check(**({"n": 5, "covariance": np.eye(2), "rng": rng} | change))
