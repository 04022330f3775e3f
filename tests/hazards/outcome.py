"""What a hazard left: answers that are right and wrong, and what else there is to say."""

from collections.abc import Iterable
from dataclasses import dataclass, field


@dataclass
class Outcome:
    right: int = 0
    wrong: int = 0
    warnings: int = 0
    aborts: int = 0
    hangs: int = 0
    seconds: list[float] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    skipped: str = ""

    @property
    def good(self):
        """A hazard that gave no answer at all has not been withstood."""
        return self.right > 0 and not (self.wrong or self.aborts or self.hangs)

    def plus(self, other):
        for name, value in vars(other).items():
            setattr(self, name, getattr(self, name) + value)


class Skipped(Exception):  # noqa: N818
    """The hazard cannot be tried here; the words say why."""


def compared(found: Iterable[object], expected: object) -> Outcome:
    equal = [one == expected for one in found]
    return Outcome(right=sum(equal), wrong=len(equal) - sum(equal))
