"""Tables in print: as Markdown for the reader of a repository, and as LaTeX for an author.

Texts are plain, with any sign that Unicode has; what stands between dollar signs is mathematics, in both,
if it has no other commands than those listed here: a text can do nothing but be read.
"""

import re
import unicodedata
from collections.abc import Callable, Iterable, Sequence

import pandas as pd

__all__ = ["as_latex", "as_markdown", "latex_longtable", "latex_text", "markdown_table", "markdown_text"]

MATHEMATICS = re.compile(r"(\$[^$]+\$)")
COMMAND = re.compile(r"\\([A-Za-z]+|.|$)", re.DOTALL)
WORDS = """
alpha beta gamma delta epsilon varepsilon zeta eta theta iota kappa lambda mu nu xi pi rho sigma tau upsilon
phi varphi chi psi omega Gamma Delta Theta Lambda Xi Pi Sigma Upsilon Phi Psi Omega ell partial nabla infty
hat widehat tilde widetilde bar dot ddot vec prime mathrm mathbf mathbb mathcal mathit
frac binom sqrt surd sum prod int oint lim sup inf max min arg det exp log ln sin cos tan sinh cosh tanh
cdot cdots ldots dots times pm mp circ ast oplus otimes leq le geq ge ll gg neq ne approx sim simeq equiv
propto in notin subset cup cap mid to rightarrow leftarrow mapsto forall exists
lvert rvert lVert rVert langle rangle lfloor rfloor lceil rceil top dagger quad qquad
"""
COMMANDS = frozenset([*WORDS.split(), *",;:!|{} "])
HATTED = re.compile("(.)\N{COMBINING CIRCUMFLEX ACCENT}")


def _greek(letter: str) -> str:
    _, size, _, name = unicodedata.name(letter).replace("LAMDA", "LAMBDA").split()
    return rf"$\{name.lower() if size == 'SMALL' else name.capitalize()}$"


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
    # the command that ends a row would take a bracket after it for its own
    "[": "{[}",
    # TeX's text font has other signs at the places of these three
    "<": "$<$",
    ">": "$>$",
    "|": "$|$",
    "—": "---",
    "–": "--",
    "“": "``",
    "”": "''",
    "‘": "`",
    "’": "'",
    "−": "$-$",
    "±": r"$\pm$",
    "×": r"$\times$",
    "·": r"$\cdot$",
    "≤": r"$\leq$",
    "≥": r"$\geq$",
    "≈": r"$\approx$",
    "∞": r"$\infty$",
    "√": r"$\surd$",
    "∫": r"$\int$",
    "→": r"$\rightarrow$",
    "…": r"\dots{}",
} | {letter: _greek(letter) for letter in "αβγδεζηθικλμνξπρστυφχψωΓΔΘΛΞΠΣΥΦΨΩ"}


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
    heading, *rows = _lines(table, markdown_text)
    return markdown_table(heading, rows, "l" + "r" * (len(heading) - 1))


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
    % needs \usepackage{amsmath,booktabs}
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
    heading, *rows = _lines(table, latex_text)
    return "\n".join(
        [
            r"% needs \usepackage{amsmath,booktabs}",
            r"\begin{table}",
            r"\centering",
            rf"\caption{{{latex_text(caption)}}}",
            rf"\begin{{tabular}}{{l{'r' * (len(heading) - 1)}}}",
            r"\toprule",
            _latex_row(heading),
            r"\midrule",
            *map(_latex_row, rows),
            r"\bottomrule",
            r"\end{tabular}",
            r"\end{table}",
            "",
        ]
    )


def markdown_table(heading: Sequence[str], rows: Iterable[Sequence[str]], alignment: str) -> str:
    """Return a Markdown table of cells that are Markdown already.

    Parameters
    ----------
    heading, rows
        Cells from `markdown_text`, or links with such a text.
    alignment : str
        A letter a column, ``l`` or ``r``.
    """
    rule = "".join({"l": "|---", "r": "|---:"}[letter] for letter in alignment) + "|"
    heading, *lines = (f"| {' | '.join(cells)} |" for cells in (heading, *rows))
    return "\n".join([heading, rule, *lines]) + "\n"


def latex_longtable(
    heading: Sequence[str], groups: Iterable[Iterable[Sequence[str]]], columns: str, caption: str
) -> str:
    """Return a LaTeX table that may run over pages, of the packages longtable and booktabs.

    Parameters
    ----------
    heading, groups
        Cells that are LaTeX already (`latex_text`); a little space sets groups of rows apart.
    columns : str
        The columns as LaTeX declares them.
    caption : str
        LaTeX, too.
    """
    body = "\n\\addlinespace\n".join("\n".join(map(_latex_row, rows)) for rows in groups)
    return "\n".join(
        [
            rf"\begin{{longtable}}{{{columns}}}",
            rf"\caption{{{caption}}} \\",
            r"\toprule",
            _latex_row(heading),
            r"\midrule",
            r"\endfirsthead",
            r"\toprule",
            _latex_row(heading),
            r"\midrule",
            r"\endhead",
            r"\bottomrule",
            r"\endfoot",
            body,
            r"\end{longtable}",
            "",
        ]
    )


def markdown_text(text: str) -> str:
    r"""Return a text for a cell of a Markdown table: on one line, and what has a meaning there escaped.

    Examples
    --------
    >>> print(markdown_text("|x| < 1, $p<1$"))
    \|x\| &lt; 1, $p<1$
    """

    def escaped(part: str) -> str:
        if _is_mathematics(part):
            # what follows at once may be the name of a tag
            return re.sub(r"<(?=[A-Za-z/!?])", "< ", part).replace("|", r"\|")
        # a text is no link; and no mathematics if it should be none
        part = part.replace("|", r"\|").replace("<", "&lt;").replace("](", r"]\(")
        return part.replace("$", r"\$") if MATHEMATICS.fullmatch(part) else part

    return "".join(map(escaped, MATHEMATICS.split(" ".join(text.split()))))


def latex_text(text: str) -> str:
    r"""Return a text for LaTeX; Greek letters, indices, exponents and letters with a hat become commands.

    A sign that has no command here stays as it is; all white space is one space.

    Examples
    --------
    >>> print(latex_text("ρ̂ is 5 % of β₀, tᵖ ≤ $x_1$"))
    $\hat{\rho}$ is 5 \% of $\beta$\textsubscript{0}, t\textsuperscript{p} $\leq$ $x_1$
    """
    parts = MATHEMATICS.split(" ".join(text.split()))
    return "".join(part if _is_mathematics(part) else _escaped(part) for part in parts)


def _is_mathematics(part: str) -> bool:
    """Return whether a part of a text is mathematics that can do nothing but be set."""
    if not MATHEMATICS.fullmatch(part) or re.search(r"[%#&~]|\^\^|[\x00-\x1f\x7f]", part):
        return False
    depth = 0
    for sign in re.sub(r"\\[{}]", "", part):
        depth += (sign == "{") - (sign == "}")
        if depth < 0:
            return False
    return depth == 0 and all(command in COMMANDS for command in COMMAND.findall(part[1:-1]))


def _escaped(text: str) -> str:
    # letters and their accents stand apart in form D, so that a hat is one sign on any letter
    first, *pieces = HATTED.split(unicodedata.normalize("NFD", text))
    plain = [first, *pieces[1::2]]
    hats = [rf"$\hat{{{LATEX.get(letter, letter).strip('$')}}}$" for letter in pieces[::2]]
    escaped = ["".join(map(_sign, unicodedata.normalize("NFC", piece))) for piece in plain]
    return escaped[0] + "".join(hat + rest for hat, rest in zip(hats, escaped[1:], strict=True))


def _sign(sign: str) -> str:
    if unicodedata.category(sign) in ("Cc", "Cs"):
        return " "  # no sign at all
    kind, _, code = unicodedata.decomposition(sign).partition(" ")
    if kind in ("<super>", "<sub>"):
        return rf"\text{kind[1:-1]}script{{{_sign(chr(int(code, 16)))}}}"
    return LATEX.get(sign, sign)


def _latex_row(cells: Iterable[str]) -> str:
    return " & ".join(cells) + r" \\"


def _lines(table: pd.DataFrame, escape: Callable[[str], str]) -> list[list[str]]:
    heading = [table.index.name or "", *table.columns]
    rows = [[label, *row] for label, row in zip(table.index, table.to_numpy(), strict=True)]
    return [[escape(str(cell)) for cell in line] for line in [heading, *rows]]
