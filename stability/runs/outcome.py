"""One vocabulary of outcomes, for statements, claims about runs, and tests over seeds."""

from enum import StrEnum

__all__ = ["Status"]


class Status(StrEnum):
    """Outcome of a statement or a claim on an instance or a run.

    A claim is *refuted* where it is `VIOLATED` although all its hypotheses are met.
    """

    HOLDS = "holds"
    CORRECTED = "holds with correction"
    """It fails as printed; the corrected statement, which a note names, holds."""
    VIOLATED = "violated"
    """The opposite is shown."""
    UNDECIDED = "undecided"
    """A test found neither it nor its opposite."""
    VACUOUS = "vacuous"
    """Its condition is not met, or its bound is infinite: it says nothing here."""
    NOT_APPLICABLE = "not applicable"
    """An assumption is measured to be false."""
    SKIPPED = "skipped"
    """Not looked at; a note says why."""
