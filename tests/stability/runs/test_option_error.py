"""Names of arguments in Python, of options on the command line."""

import pytest

from stability.runs.command_line import parse
from stability.runs.keep import Keep
from stability.runs.loop_options import LoopOptions, parts_of, recorded_options
from stability.runs.option_error import OptionError, on_command_line


def test_dashes_are_for_the_command_line():
    words = "--ode-steps has no meaning for --integrator dopri5; --lambda must be >= 0, got -1"
    assert str(OptionError(words)) == (
        "ode_steps has no meaning for integrator dopri5; lam must be >= 0, got -1"
    )
    with on_command_line():
        assert str(OptionError(words)) == words
    assert "--" not in str(OptionError(words))


def test_the_same_mistake_in_both(capsys):
    with pytest.raises(ValueError, match=r"^lam must be finite and >= 0, got -1"):
        LoopOptions(lam=(-1.0,))
    with pytest.raises(SystemExit):
        parse(LoopOptions, ["--lambda", "-1"])
    assert capsys.readouterr().err.startswith("error: --lambda must be finite and >= 0, got -1")


@pytest.mark.parametrize("text", ["", "some", "1", "every:0", "every:", "-2", "2.5", "all "])
def test_rules_that_are_none(text):
    with pytest.raises(ValueError, match=r"^keep must be all, a number >= 2"):
        Keep.parse(text)


def test_what_a_rule_keeps():
    def kept(text):
        return [t for t in range(8) if Keep.parse(text).keeps(t, 7)]

    assert kept("2") == [6, 7]
    assert kept("3") == [5, 6, 7]
    assert kept("every:3") == [0, 3, 6, 7]
    assert kept("all") == list(range(8))
    assert Keep.parse("every:3").count(8) == 4


def test_what_is_recorded_is_what_decides_the_result():
    recorded = recorded_options(*parts_of(LoopOptions(seed=3, threads=2, keep="all")))
    assert recorded["seed"] == 3
    assert not recorded.keys() & {"out", "overwrite", "threads", "device", "keep", "max_hours"}
