"""Programs that set, count and compare variables, and print them: which value is it?

Programs.   All variables are given a value first. Then each statement is one of

                x = 5 ;     x ++ ;     x -- ;     if x < 5 : y ++ ;     if x > 5 : y -- ;     print x ;

            with values from 1 to 10: what would leave them is not written. The value is asked at the end of
            a print.

Source.     The algorithmic task of the public code of "Not All Memories are Created Equal" (2105.06548),
            which shows no results of it for Expire-Span; kinds of statements, values, and 100 statements a
            program are its. The shares of the kinds are ours.
"""

from collections.abc import Sequence

import numpy as np

from curse_of_memory.tasks.labelled_streams.stream import NOT_ASKED, LabelledStream, cut
from curse_of_memory.tasks.sampling import drawn_by
from curse_of_memory.tools import checks

__all__ = ["Algorithmic"]

NAMES = ("x", "y", "z", "p", "r")
VALUES = 10
MARKS = ("=", "++", "--", "if", "<", ">", ":", "print", ";")


class Algorithmic:
    """Stream of programs with the question for the value of a variable wherever it is printed.

    Parameters
    ----------
    variables : int
        From 1 to 5: x, y, z, p and r.
    statements : int
        In a program, beside those that give each variable its first value.

    Raises
    ------
    ValueError, TypeError
        For another number of variables, or no statements.

    Notes
    -----
    Labels are values less one, 0 to 9. Ages are those of the last assignment of the variable, on which its
    value rests, with all that has counted it since.

    Examples
    --------
    >>> task = Algorithmic(2, statements=4)
    >>> print(" ".join(task.text(task.stream(24, seed=1))))
    x = 5 ; y = 6 ; if x < 2 : y ++ ; x ++ ; x ++ ; x ++
    """

    classes = VALUES

    def __init__(self, variables: int = 3, *, statements: int = 100):
        self.variables = checks.positive_int("variables", variables)
        if self.variables > len(NAMES):
            raise ValueError(f"variables must be at most {len(NAMES)}, got {variables}")
        self.statements = checks.positive_int("statements", statements)
        self.words = [*NAMES[: self.variables], *map(str, range(1, VALUES + 1)), *MARKS]
        self.vocabulary = len(self.words)

    def __repr__(self) -> str:
        return f"Algorithmic({self.variables}, statements={self.statements})"

    def text(self, stream: LabelledStream) -> list[str]:
        """Return the words of a `stream`."""
        return [self.words[token] for token in stream.inputs.tolist()]

    def stream(self, steps: int, *, seed: int | Sequence[int]) -> LabelledStream:
        """Return the first `steps` tokens of an endless row of programs; equal seeds give equal ones.

        Parameters
        ----------
        steps : int
            Length of the stream, in tokens.
        seed : int or sequence of int
            Names the draw.
        """
        T = checks.positive_int("steps", steps)
        writer = _Writer(self, drawn_by(seed))
        while len(writer.tokens) < T:
            writer.program(T)
        return cut(T, *map(np.array, (writer.tokens, writer.labels, writer.ages)))


class _Writer:
    """Writes programs while it runs them."""

    def __init__(self, task: Algorithmic, generator: np.random.Generator):
        self._task, self._generator = task, generator
        self._number = {word: i for i, word in enumerate(task.words)}
        self._values = [1] * task.variables
        self._set_at = [0] * task.variables  # where each was assigned last
        self.tokens: list[int] = []
        self.labels: list[int] = []
        self.ages: list[int] = []

    def program(self, length: int) -> None:
        """Write a program; no more of it than makes so many tokens in all."""
        for variable in range(self._task.variables):
            self._assign(variable)
        for _ in range(self._task.statements):
            if len(self.tokens) >= length:
                return
            kind = self._draw(5)
            variable = self._draw(self._task.variables)
            if kind == 0:
                self._assign(variable)
            elif kind in (1, 2):
                self._count(variable)
            elif kind == 3:
                self._count_if(variable)
            else:
                self._print(variable)

    def _draw(self, count: int) -> int:
        return int(self._generator.integers(count))

    def _write(self, words: str) -> None:
        new = [self._number[word] for word in words.split()]
        self.tokens += new
        self.labels += [NOT_ASKED] * len(new)
        self.ages += [-1] * len(new)

    def _assign(self, variable: int) -> None:
        self._values[variable] = 1 + self._draw(VALUES)
        self._set_at[variable] = len(self.tokens) + 2
        self._write(f"{NAMES[variable]} = {self._values[variable]} ;")

    def _counted(self, variable: int) -> tuple[str, int]:
        """Return a sign that keeps a variable in its range, and the step that it stands for."""
        up = self._draw(2) == 1 if 1 < self._values[variable] < VALUES else self._values[variable] == 1
        return ("++", 1) if up else ("--", -1)

    def _count(self, variable: int) -> None:
        sign, step = self._counted(variable)
        self._write(f"{NAMES[variable]} {sign} ;")
        self._values[variable] += step

    def _count_if(self, variable: int) -> None:
        compared, bound = self._draw(self._task.variables), 1 + self._draw(VALUES)
        less = self._draw(2) == 1
        sign, step = self._counted(variable)
        self._write(f"if {NAMES[compared]} {'<' if less else '>'} {bound} : {NAMES[variable]} {sign} ;")
        value = self._values[compared]
        if value < bound if less else value > bound:
            self._values[variable] += step

    def _print(self, variable: int) -> None:
        self._write(f"print {NAMES[variable]} ;")
        self.labels[-1] = self._values[variable] - 1
        self.ages[-1] = len(self.tokens) - 1 - self._set_at[variable]
