"""The page of counterexamples: short ones, which assert something; `test_docs` runs them."""

import re
from pathlib import Path

PAGE = Path(__file__).parents[1] / "docs" / "theory" / "counterexamples.md"


def test_each_counterexample_has_at_most_five_lines_and_asserts():
    sections = PAGE.read_text(encoding="utf-8").split("\n## ")[1:]
    assert len(sections) >= 12
    for section in sections:
        (code,) = re.findall(r"<!-- quick -->\n```python\n(.*?)```", section, re.DOTALL)
        assert len([line for line in code.splitlines() if line]) <= 5, section
        assert "assert " in code, section
