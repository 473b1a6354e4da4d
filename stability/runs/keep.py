"""Choice of the checkpoints and samples of a run that stay on the disk."""

import re
from dataclasses import dataclass

from stability.runs.option_error import OptionError

__all__ = ["KEEP_ALL", "KEEP_LAST", "Keep"]

_FORM = re.compile(r"(all)|(\d{1,6})|every:(\d{1,6})")


@dataclass(frozen=True)
class Keep:
    """A rule for the generations that are kept; the last two always are, to resume from.

    Attributes:
        last: Number of generations at the end that stay, >= 2.
        every: Generations 0, `every`, 2 `every`, … stay too; 1: all of them; 0: none.
    """

    last: int = 2
    every: int = 0

    @classmethod
    def parse(cls, text: str, option: str = "--keep") -> "Keep":
        """Read a rule.

        Args:
            text: `all`, the number of generations at the end (`2`), or `every:5`.
            option: For messages.

        Returns:
            The rule.

        Raises:
            OptionError: If it is none.
        """
        found = _FORM.fullmatch(text)
        if found is None or (found[2] and int(found[2]) < 2) or (found[3] and not int(found[3])):
            raise OptionError(
                f"{option} must be all, a number >= 2 of generations at the end, or every:N, got "
                f"{text!r}"
            )
        if found[1]:
            return cls(every=1)
        return cls(last=int(found[2])) if found[2] else cls(every=int(found[3]))

    def keeps(self, t: int, newest: int) -> bool:
        """Tell whether a generation stays.

        Args:
            t: The generation.
            newest: The last one that is finished.

        Returns:
            Whether it does.
        """
        return t > newest - self.last or bool(self.every and t % self.every == 0)

    def count(self, generations: int) -> int:
        """Count the files that stay.

        Args:
            generations: Number of generations, with generation 0.

        Returns:
            How many of them stay at the end.
        """
        return sum(self.keeps(t, generations - 1) for t in range(generations))


KEEP_ALL, KEEP_LAST = Keep(every=1), Keep()
