import json

import pytest
import sympy as sp

from stability.proofs.symbolic.proof import Proof, Step, equal, holds, nonnegative, positive
from tests.support.refutation import refuted

x, y = sp.symbols("x y", real=True)
p, q = sp.symbols("p q", positive=True)
z = sp.Symbol("z", nonnegative=True)


@pytest.mark.parametrize(
    "step",
    [
        equal("", (x + y) ** 2, x**2 + 2 * x * y + y**2),
        equal("", sp.sin(x) ** 2 + sp.cos(x) ** 2, 1),
        equal("", sp.Matrix([[x, 1], [0, x * y]]), sp.Matrix([[x, 1], [0, y * x]])),
        positive("", p + q),
        positive("", 1 - p / (1 + p)),
        nonnegative("", z * p),
        nonnegative("", (x - y) ** 2),
        nonnegative("", sp.S.Zero),
        holds("", sp.Interval(0, 1) == sp.Interval(0, 1)),
    ],
)
def test_what_is_true_is_proved(step):
    assert step.proved
    assert Proof("", "", (step,)).proved


@pytest.mark.parametrize(
    "step",
    [
        equal("", (x + y) ** 2, x**2 + y**2),
        equal("", sp.Matrix([[x, 1], [0, x]]), sp.Matrix([[x, 1], [y, x]])),  # one entry of four
        equal("", sp.Matrix([[x, -x]]), sp.zeros(1, 2)),  # entries whose sum is 0
        positive("", p - q),
        positive("", z),  # may be 0
        positive("", sp.S.Zero),
        nonnegative("", x * y),
        holds("", False),
        holds("", None),  # sympy does not know
        Step("", sp.nan),
        Step("", sp.false),
    ],
)
def test_what_is_not_true_is_not(step):
    proof = Proof("", "", (equal("", x, x), step))
    assert not step.proved
    assert not proof.proved
    assert proof.left == (step,)


def test_a_proof_without_a_step_is_refused():
    with pytest.raises(ValueError, match="steps must be one at least, got none for Theorem 7"):
        Proof("Theorem 7", "", ())


def test_plain_values_for_json():
    proof = Proof("A", "B", (equal("one", x, y), positive("two", p)), uses=("C",), erratum="E1")
    plain = json.loads(json.dumps(proof.to_dict()))
    assert plain["proved"] is False
    assert plain["steps"] == [
        {"words": "one", "reduced": "x - y"},
        {"words": "two", "reduced": "True"},
    ]
    assert (plain["claim"], plain["statement"], plain["uses"], plain["erratum"]) == (
        "A",
        "B",
        ["C"],
        "E1",
    )


def test_refutation_finds_points_where_a_statement_fails_and_none_where_it_holds():
    assert refuted(equal("", x**2, x))
    assert refuted(positive("", p - q))
    assert not refuted(Step("", sp.Gt(p + q, 0, evaluate=False)))
    assert not refuted(Step("", (x + y) ** 2 - x**2 - 2 * x * y - y**2))
    # true, not seen on factors
    assert not refuted(Step("", sp.Gt(p**2 - 2 * p * q + q**2 + 1, 0, evaluate=False)))
