"""Regimes as data, and back."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stability.loop.regime_data import (
    BY_LAMBDA,
    NamedSelector,
    RecordedRegime,
    order_of,
    regime_from_data,
    regime_to_data,
)
from stability.loop.regimes import (
    Accumulate,
    AccumulateFresh,
    Curated,
    Exchange,
    Extrapolated,
    FreshReal,
    FullySynthetic,
    Mix,
    ReplaceFraction,
    Scheduled,
    Subsample,
    Verified,
    Weighted,
)


def reward(x):
    return x[:, 0]


lams = st.floats(0, 1e6)
plain = st.one_of(
    *(st.builds(kind, lams) for kind in (Mix, Accumulate, FreshReal, ReplaceFraction)),
    st.builds(FullySynthetic),
    st.builds(AccumulateFresh, st.floats(0, 1)),
)
mixed = st.recursive(
    plain,
    lambda inner: st.one_of(
        st.builds(Subsample, inner),
        st.builds(Weighted, inner, st.floats(0.01, 0.99)),
        st.builds(Curated, inner, st.just(reward), st.integers(1, 9)),
        st.builds(Verified, inner, st.just(reward), st.integers(1, 9)),
        st.builds(Scheduled, inner, st.floats(0.1, 2), st.floats(-2, 2)),
    ),
    max_leaves=4,
)
regimes = st.one_of(
    mixed,
    st.builds(Exchange.among, st.integers(2, 4), mixed, st.floats(0, 1)),
    st.builds(Extrapolated, mixed, st.floats(-3, 3)),
)


@given(regimes)
def test_there_and_back_through_a_file(regime):
    text = json.dumps(regime_to_data(regime))
    again = regime_from_data(json.loads(text), {"reward": reward})
    assert again == regime
    assert type(again) is type(regime)
    by_name = regime_from_data(json.loads(text))
    assert str(by_name) == str(regime)
    assert json.dumps(regime_to_data(by_name)) == text


def test_what_a_regime_looks_like():
    assert regime_to_data(Mix(0.5)) == {"mix": {"lam": 0.5}}
    assert regime_to_data(FullySynthetic()) == {"fully-synthetic": {}}
    assert regime_to_data(Curated(Mix(1.0), reward, 3)) == {
        "curated": {"regime": {"mix": {"lam": 1.0}}, "reward": "reward", "choices": 3}
    }


def test_names_alone_do_not_run():
    curated = regime_from_data(regime_to_data(Curated(Mix(1.0), reward)))
    with pytest.raises(LookupError, match="reward is known by its name only"):
        curated.reward(None)  # type: ignore[attr-defined]
    recorded = RecordedRegime("mine", "Mine", 0.5)
    assert regime_from_data(regime_to_data(recorded)) == recorded
    with pytest.raises(LookupError, match="'mine' is known by its name only"):
        recorded.synthetic(3)
    assert str(NamedSelector("right")) == "right"


@pytest.mark.parametrize(
    "data",
    [
        None, [], {}, "mix", {"mix": {}, "fresh": {}}, {"mix": {"lam": -1}}, {"mix": {"lam": "1"}},
        {"mix": {"lam": True}}, {"mix": 3}, {"mix": {"lam": 1, "more": 2}}, {"none": {}},
        {"weighted": {"regime": {"mix": {"lam": 1}}, "weight": 2}}, {"weighted": {"weight": 0.5}},
        {"own": {"name": 3, "kind": "A"}}, {"own": {"name": "", "kind": "A"}},
        {"exchange": {"regime": {"mix": {"lam": 1}}, "mixing": [[1, 0]]}},
        {"exchange": {"regime": {"mix": {"lam": 1}}, "mixing": [[True]]}},
        {"exchange": {"regime": {"mix": {"lam": 1}}, "mixing": [[0.5]] * 101}},
        {"scheduled": {"regime": {"mix": {"lam": 1}}, "factor": 0}},
        {"own": {"name": "a", "kind": "A", "lam": -1}}, {"curated": {"regime": [], "reward": "r"}},
    ],
)  # fmt: skip
def test_what_is_no_regime_is_refused(data):
    with pytest.raises(ValueError, match=r".+"):
        regime_from_data(data)


def test_rows_are_sorted_by_kind_and_lambda():
    rows = [FullySynthetic(), Mix(1.0), Weighted(Mix(1.0), 0.5), Mix(0.1), Mix(0.02), Accumulate(0)]
    assert sorted(rows, key=order_of) == [
        Mix(0.02), Mix(0.1), Mix(1.0), Accumulate(0), Weighted(Mix(1.0), 0.5), FullySynthetic(),
    ]  # fmt: skip


def test_every_name_of_a_command_makes_a_regime():
    assert {name: type(make(0.5)).__name__ for name, make in BY_LAMBDA.items()} == {
        "mix": "Mix", "accumulate": "Accumulate", "accumulate-fresh": "AccumulateFresh",
        "fresh": "FreshReal", "replace": "ReplaceFraction", "subsample": "Subsample",
    }  # fmt: skip
