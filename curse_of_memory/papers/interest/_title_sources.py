"""Pairs that titles are learnt from and measured on: those of CSL, or of files of somebody's own."""

from dataclasses import dataclass
from pathlib import Path

from curse_of_memory.tasks import Summaries

__all__ = ["Sources"]


@dataclass(frozen=True)
class Sources:
    """What is read.

    Attributes
    ----------
    learnt, unseen : Summaries
        Pairs for training, and those of the test.
    own_training, own_test : bool
        Whether they are of a file of somebody's own.
    """

    learnt: Summaries
    unseen: Summaries
    own_training: bool
    own_test: bool

    @property
    def stand_in(self) -> str:
        """What stands in for what, in either; empty if nothing does."""
        return self.learnt.stand_in or self.unseen.stand_in

    def seen_before(self) -> int:
        """Return how many pairs of the test have an abstract or a title that is among those for training.

        They are compared as by ROUGE, in lower case and without spaces.
        """
        known = [
            {"".join(text.lower().split()) for text in texts}
            for texts in (self.learnt.abstracts, self.learnt.titles)
        ]
        pairs = zip(self.unseen.abstracts, self.unseen.titles, strict=True)
        return sum(
            any("".join(text.lower().split()) in some for text, some in zip(pair, known, strict=True))
            for pair in pairs
        )

    def told(self) -> str:
        """Return what was trained on, and where it is of one's own what was measured on."""
        if not self.own_training and not self.own_test:
            return (
                f"{len(self.learnt)} pairs, a tenth held out: the published dev, in place of a training set"
            )
        return f"{_named(self.learnt)}, a tenth held out; measured on {_named(self.unseen)}"


def _named(task: Summaries) -> str:
    left_out = f" ({task.left_out} left out)" if task.left_out else ""
    return f"{len(task)} pairs of {Path(task.origin).name}{left_out}"
