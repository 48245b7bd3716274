"""A table as a paper prints it: as Markdown for the reader of a repository, and as LaTeX for an author.

The cells are texts that are ready to be printed. What stands between dollar signs is mathematics, in both.
"""

import re

import pandas as pd

__all__ = ["as_latex", "as_markdown"]

MATHEMATICS = re.compile(r"(\$[^$]+\$)")
LATEX = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "$": r"\$",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "—": "---",
    "–": "--",
    "±": r"$\pm$",
    "×": r"$\times$",
    "≤": r"$\leq$",
    "≥": r"$\geq$",
    "∞": r"$\infty$",
}


def as_markdown(table: pd.DataFrame) -> str:
    """Return a Markdown table.

    Parameters
    ----------
    table : DataFrame
        Texts; the index is the first column, and its name the heading of that.

    Examples
    --------
    >>> table = pd.DataFrame({"$p=0$": ["1.2"]}, index=pd.Index(["TCN"], name="model"))
    >>> print(as_markdown(table), end="")
    | model | $p=0$ |
    |---|---:|
    | TCN | 1.2 |
    """

    def line(cells: list[str]) -> str:
        return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"

    heading, *rows = _lines(table)
    rule = "|---" + "|---:" * (len(heading) - 1) + "|"
    return "\n".join([line(heading), rule, *map(line, rows)]) + "\n"


def as_latex(table: pd.DataFrame, caption: str) -> str:
    r"""Return a floating LaTeX table with the rules of the package booktabs.

    Parameters
    ----------
    table : DataFrame
        As for :func:`as_markdown`.
    caption : str
        Text of the caption; mathematics between dollar signs, as in the cells.

    Examples
    --------
    >>> table = pd.DataFrame({"$p=0$": ["99 %"]}, index=pd.Index(["TCN"], name="model"))
    >>> print(as_latex(table, "Copying"), end="")
    % needs \usepackage{booktabs}
    \begin{table}
    \centering
    \caption{Copying}
    \begin{tabular}{lr}
    \toprule
    model & $p=0$ \\
    \midrule
    TCN & 99 \% \\
    \bottomrule
    \end{tabular}
    \end{table}
    """

    def line(cells: list[str]) -> str:
        return " & ".join(map(_escaped, cells)) + r" \\"

    heading, *rows = _lines(table)
    return "\n".join(
        [
            r"% needs \usepackage{booktabs}",
            r"\begin{table}",
            r"\centering",
            rf"\caption{{{_escaped(caption)}}}",
            rf"\begin{{tabular}}{{l{'r' * (len(heading) - 1)}}}",
            r"\toprule",
            line(heading),
            r"\midrule",
            *map(line, rows),
            r"\bottomrule",
            r"\end{tabular}",
            r"\end{table}",
            "",
        ]
    )


def _lines(table: pd.DataFrame) -> list[list[str]]:
    heading = [table.index.name or "", *table.columns]
    rows = [[label, *row] for label, row in zip(table.index, table.to_numpy(), strict=True)]
    return [[str(cell) for cell in line] for line in [heading, *rows]]


def _escaped(text: str) -> str:
    parts = MATHEMATICS.split(text)
    return "".join(
        part if MATHEMATICS.fullmatch(part) else "".join(LATEX.get(c, c) for c in part) for part in parts
    )
