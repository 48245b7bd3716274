"""Texts that become Markdown and LaTeX."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from curse_of_memory.gallery.catalogue import read_catalogue
from curse_of_memory.report.printed_table import (
    COMMANDS,
    LATEX,
    latex_longtable,
    latex_text,
    markdown_table,
    markdown_text,
)

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("text", "latex"),
    [
        ("β₀ → λ", r"$\beta$\textsubscript{0} $\rightarrow$ $\lambda$"),
        ("m⁻², tᵖ", r"m\textsuperscript{$-$}\textsuperscript{2}, t\textsuperscript{p}"),
        ("ρ̂ of ŷ", r"$\hat{\rho}$ of $\hat{y}$"),
        ("|P| < 1 > 0", "$|$P$|$ $<$ 1 $>$ 0"),
        ("“the” – one’s", "``the'' -- one's"),
        ("[0, ∞)", r"{[}0, $\infty$)"),
        ("$|x|<1$ <", "$|x|<1$ $<$"),
        ("Malmö", "Malmö"),  # LaTeX reads letters with accents itself
    ],
)
def test_signs_become_commands(text, latex):
    assert latex_text(text) == latex


def test_what_has_a_meaning_in_markdown_is_escaped_outside_mathematics():
    assert markdown_text("a|b\n <c> $x<y$") == r"a\|b &lt;c> $x< y$"


INPUT = r"\input{/etc/passwd}"


@pytest.mark.parametrize(
    "text",
    [
        f"${INPUT}$",
        "$" + INPUT.replace("\\", "^^5c") + "$",  # TeX reads ^^5c as a backslash
        f"$x$ and ${INPUT}$",
        f"$ {INPUT} $$x$",
        r"$\mathrm{\immediate\write18{ls}}$",
        r"$a\\\hline$",
        "$x % the rest of the line$",
        "$x}$",
        "$}{$",
        "$a & b$",
        r"$\csname input\endcsname$",
        r"$\def\x{y}$",
        r"$\href{javascript:alert(1)}{x}$",
        "$\\$",
    ],
)
def test_what_is_no_mathematics_is_said_and_not_done(text):
    """No backslash of the text is one in LaTeX: what is there are the commands for signs."""
    latex = latex_text(text)
    for command in re.findall(r"\\([A-Za-z]+|.)", latex):
        assert command in ("textbackslash", *"{}%$&#_", "textasciicircum", "mathrm") or f"${text}" in latex
    assert "input{" not in latex.replace(r"input\{", "")
    assert "^^" not in latex
    assert re.sub(r"\\.", "", latex).count("{") == re.sub(r"\\.", "", latex).count("}")
    assert r"\$" in markdown_text(text)


def test_mathematics_of_the_list_is_set():
    for text in (
        r"$\frac{\partial y}{\partial x}\,\Sigma_s\lvert\rho_s\rvert$",
        "$W^{1,\\infty}$",
        r"$\{x\|$",
    ):
        assert latex_text(text) == text


def test_the_commands_of_a_text_are_those_of_signs():
    random = np.random.default_rng(0)
    signs = [*"\\${}^_%&#~[]<>|\n\0 aZ5", "ρ̂", "ŷ", "²", "\\input", "\\hat", "$$", "^^5c", "\u202e"]
    allowed = set(re.findall(r"\\([A-Za-z]+|.)", " ".join(LATEX.values()))) | COMMANDS
    allowed |= {"hat", "textsuperscript", "textsubscript"}
    for _ in range(2000):
        text = "".join(random.choice(signs, size=random.integers(1, 30)))
        latex = latex_text(text)
        assert set(re.findall(r"\\([A-Za-z]+|.)", latex)) <= allowed, text
        assert not re.search(r"(?<!\\)[%&#~]|\^\^|[\x00-\x1f]", latex), text


@pytest.mark.parametrize("text", ["[a](javascript:x)", "![a](http://x)", "<b>", "$<script>$", "$a<b$ </td>"])
def test_a_text_in_markdown_is_no_link_and_no_tag(text):
    assert not re.search(r"<[A-Za-z/!?]|\]\(", markdown_text(text))


def test_a_markdown_table_aligns_as_it_is_told():
    assert markdown_table(["a", "b"], [["1", "2"]], "lr") == "| a | b |\n|---|---:|\n| 1 | 2 |\n"
    assert markdown_table(["a"], [], "r") == "| a |\n|---:|\n"


def test_a_long_table_repeats_its_heading_and_sets_groups_apart():
    lines = latex_longtable(["a", "b"], [[["1", "2"], ["3", "4"]], [["5", "6"]]], "lr", "C").splitlines()
    assert lines[:2] == [r"\begin{longtable}{lr}", r"\caption{C} \\"]
    assert lines.count(r"a & b \\") == 2
    assert lines[-5:] == [r"1 & 2 \\", r"3 & 4 \\", r"\addlinespace", r"5 & 6 \\", r"\end{longtable}"]


def texts():
    """Yield every text of the figures and the inventory that a LaTeX table may show."""
    for path in sorted((ROOT / "figures").rglob("*.json")):
        if ".batch" not in path.parts:
            result = json.loads(path.read_text())
            yield from (result["title"], result["message"], *result["headline"], *result["paper"])
    for item in read_catalogue().items:
        yield from (item.key, item.title, item.stand_in)
    for paper in read_catalogue().papers:
        yield paper.key


def test_there_is_a_command_for_every_sign_that_our_figures_use():
    left = {sign for text in texts() for sign in latex_text(text) if not sign.isascii()}
    assert not left


@pytest.mark.skipif(not shutil.which("pdflatex"), reason="there is no LaTeX here")
def test_latex_has_all_the_commands(tmp_path):
    groups = [[[latex_text(sign), latex_text(f"{sign}²₀")]] for sign in [*LATEX, "ρ̂", "ŷ", "ö"]]
    document = [
        r"\documentclass{article}\usepackage{amsmath,array,booktabs,longtable}\begin{document}",
        latex_longtable(["a", "b"], groups, "ll", latex_text("|ρ̂| < 5 %")),
        r"\end{document}",
    ]
    (tmp_path / "t.tex").write_text("\n".join(document))
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "t.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, errors="replace")
    assert done.returncode == 0, done.stdout[-2000:]
    assert "Missing character" not in done.stdout
