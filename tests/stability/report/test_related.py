from stability.report.related import related
from stability.statements import GROUPS


def test_a_row_says_paper_statement_status_and_how_much_of_a_bound_is_used():
    def verdict(claim, status, tightness):
        return {"claim": claim, "status": status, "tightness": tightness}

    markov, best, one = (
        "Suresh et al., Gaussian",
        "Suresh et al., Gaussian, best power",
        "Suresh et al., Gaussian, one step",
    )
    report = {
        "statements": [
            {
                "statement": "collapse_tail",
                "verdicts": [
                    verdict(markov, "holds", 0.25),
                    verdict(markov, "holds", 0.5),
                    verdict(markov, "vacuous", 0.9),
                    verdict(best, "holds", "nan"),
                    verdict(one, "holds", 1.0),
                ],
            }
        ]
    }
    table, _, false = related(report).partition("## False as printed")
    lines = [line for line in table.splitlines() if "2412.17646, `collapse_tail` |" in line]
    assert [line.split(" | ")[-1] for line in lines[:2]] == [
        "holds (2), vacuous (1)<br>bound, 0.5 used |",
        "holds (1)<br>bound |",
    ]
    assert any(line.endswith("| holds (1)<br>equation |") for line in lines)
    for name in GROUPS["Results of the literature"]:
        assert f"`{name}`" in table, name
    assert ", `verifier` |" in false
    assert ", `verifier` |" in table
