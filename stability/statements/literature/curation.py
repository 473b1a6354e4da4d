"""Curation: a user picks one of K samples, x_i with probability ∝ e^{r(x_i)} (Ferbach et al.,
arXiv:2407.09499), and the model is refitted to what was picked.

On infinitely many points p becomes p H_K, where H_K(x) = E[K e^{r(x)}/(e^{r(x)} + Σ_{i<K}
e^{r(x_i)})] ≤ K, alone or in a mix (p_data + λ p H_K)/(1+λ). Without real data the mean of e^r
grows by at least ((K−1)/K) Var(e^r)/max e^r a round, by Jensen's inequality for Σy²/Σy of K draws,
and the law ends as p_0 conditioned on the best points. In a mix with λ(K−1) < 1 that starts at
p_data,

    p_t/p_data ≤ 1/(1 − λ(K−1)),    hence KL(p_t‖p_data) ≤ −log(1 − λ(K−1)),

since a bound M on the ratio becomes (1 + λKM)/(1+λ). With *two* rewards, one of them drawn for each
pick (Falahati et al., arXiv:2605.07724), two best points keep a share each, near the weights of the
rewards, but a compromise that is best for neither can take everything.
"""

import math
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stability.laws.monte_carlo import share_slack
from stability.loop.regimes import Curated, FullySynthetic
from stability.loop.retraining import retrain
from stability.statements.claim import ERROR_RATE, Claim, Premise
from stability.statements.literature.discrete_collapse import Frequencies
from stability.statements.mutation import Mutation
from stability.statements.verdict import Verdict

__all__ = [
    "GRID",
    "MUTATIONS",
    "check",
    "compromise_threshold",
    "counterexamples",
    "gain_bound",
    "picked",
    "ratio_bound",
    "two_rewards",
]

_claim = partial(
    Claim,
    source="Ferbach et al., arXiv:2407.09499; short proofs: own derivation",
    no_evidence="Weak rewards: then nothing is picked, and every bound holds.",
)

PICKED = _claim(
    id="Curation",
    words="a round of curation turns p into p H_K",
    relation="==",
    falsified_by="A share of picked points outside the interval that a binomial law allows.",
    error_rate=ERROR_RATE,
)
GAIN = _claim(
    id="Curation, reward",
    words="without real data E e^r grows by at least ((K−1)/K) Var(e^r)/max e^r a round",
    relation=">=",
    falsified_by="A law, a reward and a K with a smaller gain.",
)
LIMIT = _claim(
    id="Curation, limit",
    words="without real data the limit is p_0 conditioned on the largest reward",
    relation="==",
    falsified_by="An orbit that ends elsewhere.",
)
_SMALL = (Premise("λ(K−1)", "<", 1.0),)
RATIO = _claim(
    id="Curation, ratio",
    words="in a mix p_t/p_data ≤ 1/(1 − λ(K−1))",
    relation="<=",
    falsified_by="A point that becomes more likely than that.",
    needs=_SMALL,
)
KL = _claim(
    id="Curation, KL",
    words="in a mix KL(p_t‖p_data) ≤ −log(1 − λ(K−1))",
    relation="<=",
    falsified_by="A larger divergence.",
    needs=_SMALL,
)
GAIN_IN_A_MIX = _claim(
    id="Curation, reward in a mix",
    words="in a mix, too, E e^r grows by at least ((K−1)/K) Var(e^r)/max e^r a round",
    relation=">=",
    falsified_by="The fixed point of a mix, where nothing grows.",
    refuted_because="At its fixed point a mix gains nothing, although the variance is positive.",
)
SHARES = _claim(
    id="Curation, two rewards",
    words="two points, each best for a reward, keep the share (q(1+ε) − ε)/(1−ε), ε = e^{−Δ}",
    relation="==",
    source="Falahati et al., arXiv:2605.07724; the share at finite Δ: own derivation",
    falsified_by="An orbit that ends elsewhere.",
)
COMPROMISE = _claim(
    id="Curation, compromise",
    words="at q = ½, K = ∞ a compromise takes everything iff 2e^{−δ} > 1 + e^{−Δ}",
    relation="==",
    source="own derivation; the loop: Falahati et al., arXiv:2605.07724",
    falsified_by="A compromise on the other side of the threshold that lives, or dies out.",
)
DIES_OUT = _claim(
    id="Falahati et al., Lemma 3.3",
    words="with two rewards, what is best for neither dies out (the lemma as we read it)",
    relation="<",
    source="Falahati et al., arXiv:2605.07724",
    falsified_by="A point, best for neither, whose mass does not vanish.",
    refuted_because="A compromise near both optima grows faster than either; it takes everything.",
)

GRID: tuple[dict[str, Any], ...] = (
    {"choices": 2, "lam": 0.5},
    {"choices": 2, "lam": 0.9},
    {"choices": 3, "lam": 0.4},
    {"choices": 3, "lam": 0.4, "amplitude": 0.1},
    {"choices": 3, "lam": 0.49, "peaked": True},
    {"choices": 3, "lam": 0.6},
)


def picked(
    p: NDArray[np.float64], reward: NDArray[np.float64], choices: int
) -> NDArray[np.float64]:
    """p H_K: the law of a point that is picked of K draws of p, exactly.

    Args:
        p: (L,) law.
        reward: (L,) r, of each point.
        choices: K, 1 to 4; the sum has L^K terms.

    Returns:
        (L,) law.
    """
    p = p / p.sum()  # K times a rounding error of the mass would be left each round
    strength = np.exp(reward - reward.max())
    total, weight = strength, np.ones(())
    for _ in range(choices - 1):
        total = total[..., None] + strength
        weight = np.multiply.outer(weight, p)
    others = tuple(range(1, choices))
    share = choices * strength.reshape(-1, *[1] * (choices - 1)) / total
    return p * (share * weight).sum(axis=others)


def gain_bound(p: NDArray[np.float64], reward: NDArray[np.float64], choices: int) -> float:
    """((K−1)/K) Var(e^r)/max e^r, below the gain of E e^r in a round without real data.

    Args:
        p: (L,) law.
        reward: (L,) r.
        choices: K.

    Returns:
        The bound.
    """
    y = np.exp(reward)
    variance = float(p @ y**2 - (p @ y) ** 2)
    return (choices - 1) / choices * variance / float(y.max())


def ratio_bound(lam: float, choices: int) -> float:
    """1/(1 − λ(K−1)), above p_t/p_data.

    Args:
        lam: λ.
        choices: K.

    Returns:
        The bound; inf for λ(K−1) >= 1.
    """
    left = 1 - lam * (choices - 1)
    return 1 / left if left > 0 else math.inf


def two_rewards(
    p: NDArray[np.float64], rewards: NDArray[np.float64], weights: NDArray[np.float64]
) -> NDArray[np.float64]:
    """A round at K = ∞ where each pick draws its reward: p Σ_j q_j e^{r_j}/E e^{r_j}.

    Args:
        p: (L,) law.
        rewards: (J, L).
        weights: (J,) q, of sum 1.

    Returns:
        (L,) law.
    """
    y = np.exp(rewards)
    return p * (weights / (y @ p) @ y)


def compromise_threshold(cross: float) -> float:
    """δ = log(2/(1 + e^{−Δ})), below which a compromise takes everything at q = ½.

    Args:
        cross: Δ > 0, how much worse one reward's best point is for the other reward.

    Returns:
        The largest loss δ against either best point.
    """
    return math.log(2 / (1 + math.exp(-cross)))


def kept_share(q: float, cross: float) -> float:
    """(q(1+ε) − ε)/(1−ε), ε = e^{−Δ}: the share of the best point of a reward of weight q.

    Args:
        q: Weight of the reward, in (ε/(1+ε), 1/(1+ε)).
        cross: Δ > 0.

    Returns:
        The share; → q for Δ → ∞.
    """
    eps = math.exp(-cross)
    return (q * (1 + eps) - eps) / (1 - eps)


def _problem(amplitude: float, peaked: bool) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """A law on 25 points, and a reward that grows along them, or one for a rare point."""
    x = np.linspace(-3, 3, 25)
    p = np.exp(-(x**2) / 2)
    p /= p.sum()
    if peaked:
        return p, np.where(np.arange(25) == 0, 12.0, 0.0)
    return p, amplitude * np.tanh(x)


def _mixed(
    p_data: NDArray[np.float64],
    reward: NDArray[np.float64],
    choices: int,
    lam: float,
    rounds: int = 200,
) -> NDArray[np.float64]:
    """The law of a mix after many rounds."""
    p = p_data
    for _ in range(rounds):
        after = (p_data + lam * picked(p, reward, choices)) / (1 + lam)
        if np.abs(after - p).max() < 1e-14:
            break
        p = after
    return p


def check(
    choices: int,
    lam: float,
    rng: np.random.Generator,
    amplitude: float = 1.5,
    peaked: bool = False,
    false_alarm: float = ERROR_RATE,
) -> list[Verdict]:
    """The map against Algorithm 1, the bounds, and the limit.

    Args:
        choices: K, 2 or 3.
        lam: λ of the mix.
        rng: For the simulation.
        amplitude: Of the reward, which grows from −amplitude to amplitude.
        peaked: A reward for one rare point instead.
        false_alarm: Of the verdict that simulates.

    Returns:
        The verdicts.
    """
    p, reward = _problem(amplitude, peaked)
    kind = "a rare point" if peaked else f"amplitude {amplitude:g}"
    case = f"K = {choices}, reward {kind}"
    y = np.exp(reward)
    mixed = _mixed(p, reward, choices, lam)
    small = {"λ(K−1)": lam * (choices - 1)}
    bound = ratio_bound(lam, choices)

    return [
        GAIN.verdict(
            case,
            measured=float((picked(p, reward, choices) - p) @ y),
            claimed=gain_bound(p, reward, choices),
            method="the exact sum over all K draws",
        ),
        RATIO.verdict(
            f"{case}, λ = {lam:g}",
            measured=float((mixed / p).max()),
            claimed=bound,
            tolerance=1e-9,
            method="the end of the mix; tolerance: rounding",
            assumptions=small,
        ),
        KL.verdict(
            f"{case}, λ = {lam:g}",
            measured=float(mixed @ np.log(mixed / p)),
            claimed=math.log(bound),
            tolerance=1e-9,
            method="the end of the mix; tolerance: rounding",
            assumptions=small,
        ),
        *([] if peaked else [_simulated(choices, amplitude, rng, false_alarm)]),
        *([_conditioned(choices), *_two_rewards()] if amplitude == 1.5 and lam == 0.5 else []),
    ]


def _simulated(
    choices: int, amplitude: float, rng: np.random.Generator, false_alarm: float, n: int = 6000
) -> Verdict:
    """The category whose frequency is farthest off after one curated round."""
    reward = amplitude * np.linspace(-1, 1, 6)
    real = np.repeat(np.arange(6), (1500, 1400, 1200, 1000, 600, 300))[:, None]
    learner = Frequencies(np.zeros((1, 1, 6)))
    regime = Curated(FullySynthetic(), lambda x: reward[x[:, 0]], choices)
    start, after = (
        learner.frequencies[0, 0].copy()
        for _ in retrain(learner, [real], [regime], 1, seed=int(rng.integers(2**62)))
    )
    law = picked(start, reward, choices)
    slack = np.array([share_slack(float(share), n, false_alarm / 12) for share in law])
    i = int(np.argmax(np.abs(after - law) / slack))
    return PICKED.verdict(
        f"K = {choices}, six categories, amplitude {amplitude:g}",
        measured=float(after[i]),
        claimed=float(law[i]),
        tolerance=float(slack[i]),
        method=f"Algorithm 1, {n} points, the category farthest off; tolerance: binomial law",
        false_alarm=false_alarm,
    )


def _conditioned(choices: int) -> Verdict:
    """Limit of curation alone, with two best points of five."""
    p, reward = np.array([0.4, 0.2, 0.2, 0.15, 0.05]), np.array([0.0, 1.0, 0.3, 1.0, -1.0])
    law = p
    for _ in range(400):
        law = picked(law, reward, choices)
    best = reward == reward.max()
    end = np.where(best, p, 0) / p[best].sum()
    return LIMIT.verdict(
        f"K = {choices}, two best points of five",
        measured=float(np.abs(law - end).max()),
        claimed=0.0,
        tolerance=1e-9,
        scale=1.0,
        method="400 rounds, the largest difference; tolerance: what is left of a geometric decay",
    )


def _mass_of_compromise(loss: float, cross: float, rounds: int = 4000) -> float:
    """Its mass in the end, from two in a thousand."""
    rewards = np.array([[0, -cross, -loss], [-cross, 0, -loss]])
    p = np.array([0.499, 0.499, 0.002])
    for _ in range(rounds):
        p = two_rewards(p, rewards, np.array([0.5, 0.5]))
    return float(p[2])


def _two_rewards() -> list[Verdict]:
    """Shares of two best points, and a compromise on both sides of its threshold."""
    q, cross = 0.3, 3.0
    rewards = np.array([[0, -cross], [-cross, 0]])
    p = np.array([0.9, 0.1])

    for _ in range(2000):
        p = two_rewards(p, rewards, np.array([q, 1 - q]))
    verdicts = [
        SHARES.verdict(
            f"q = {q:g}, Δ = {cross:g}",
            measured=float(p[0]),
            claimed=kept_share(q, cross),
            tolerance=1e-9,
            method="2000 rounds; tolerance: what is left of a geometric decay",
        )
    ]

    for loss in (0.60, 0.75):
        verdicts.append(
            COMPROMISE.verdict(
                f"Δ = {cross:g}, δ = {loss:g}",
                measured=_mass_of_compromise(loss, cross),
                claimed=float(loss < compromise_threshold(cross)),
                tolerance=1e-6,
                scale=1.0,
                method="4000 rounds; tolerance: what is left of a geometric decay",
                note=f"threshold δ = {compromise_threshold(cross):.4f}",
            )
        )

    return verdicts


def counterexamples() -> list[Verdict]:
    """The fixed point of a mix, where E e^r does not grow, and a compromise that takes all."""
    choices, lam = 2, 0.5
    p, reward = _problem(1.5, peaked=False)
    mixed = _mixed(p, reward, choices, lam)
    after = (p + lam * picked(mixed, reward, choices)) / (1 + lam)
    return [
        GAIN_IN_A_MIX.verdict(
            f"K = {choices}, λ = {lam:g}, at the fixed point",
            measured=float((after - mixed) @ np.exp(reward)),
            claimed=gain_bound(mixed, reward, choices),
            tolerance=1e-9,
            method="one more round of the mix; tolerance: rounding",
        ),
        DIES_OUT.verdict(
            "q = ½, K = ∞, Δ = 3, a compromise 0.6 below either optimum",
            measured=_mass_of_compromise(0.6, 3.0),
            claimed=1e-3,
            method="4000 rounds, from a mass of 0.002",
        ),
    ]


_CASE = {"choices": 2, "lam": 0.5}
_PEAKED = {"choices": 3, "lam": 0.49, "peaked": True}
_HERE = "stability.statements.literature.curation"

MUTATIONS = (
    Mutation(
        PICKED,
        f"{_HERE}.picked",
        "K → ∞ for K = 2",
        _CASE,
        lambda right: lambda p, reward, choices: p * np.exp(reward) / (p @ np.exp(reward)),
    ),
    Mutation(
        GAIN,
        f"{_HERE}.gain_bound",
        "1 for (K−1)/K",
        {"choices": 3, "lam": 0.4, "amplitude": 0.1},
        lambda right: lambda p, reward, K: right(p, reward, K) * K / (K - 1),
    ),
    Mutation(
        RATIO,
        f"{_HERE}.ratio_bound",
        "K − 2 for K − 1",
        _PEAKED,
        lambda right: lambda lam, choices: right(lam, choices - 1),
    ),
    Mutation(
        KL,
        f"{_HERE}.ratio_bound",
        "a ratio of 1 + λ(K−1)/50",
        _CASE,
        lambda right: lambda lam, choices: 1 + lam * (choices - 1) / 50,
    ),
    Mutation(
        LIMIT,
        f"{_HERE}.picked",
        "the reward forgotten",
        _CASE,
        lambda right: lambda p, reward, choices: p,
    ),
    Mutation(SHARES, f"{_HERE}.kept_share", "the share", _CASE),
    Mutation(
        COMPROMISE,
        f"{_HERE}.compromise_threshold",
        "Δ/2, the criterion at K = 2",
        _CASE,
        lambda right: lambda cross: cross / 2,
    ),
)
"""Slips, and the claim that each must break."""
