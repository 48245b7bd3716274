"""Numbers of figures within a page: read from the record of the figure when the site is built, never typed.

``{number}`lem/time_step: N = 20: the best N dt` `` is that number of the headline of
``figures/lem/time_step.json``; ``full_scale/`` before the name is the other scale, and `` (low)`` or
`` (high)`` behind it an end of the range over seeds.
"""

import json
import math
import re
from pathlib import Path

from docutils import nodes
from docutils.parsers.rst.states import Inliner
from sphinx.application import Sphinx

FIGURES = Path(__file__).parents[2] / "figures"


def number(text: str, figures: Path = FIGURES) -> str:
    """Return a number of a figure to three digits.

    Raises
    ------
    ValueError
        If there is no such figure, its record has no such number, or what it has is no finite one.
    """
    name, _, label = text.partition(": ")
    record = figures / f"{name}.json"
    if not record.is_file():
        raise ValueError(
            f"number must name a figure, as in 'lem/time_step: N = 20: the best N dt', got {text!r}"
        )
    content = json.loads(record.read_text(encoding="utf-8"))
    end = re.fullmatch(r"(.*) \((low|high)\)", label)
    values, key = content.get("headline", {}), label
    if end and label not in values:
        values, key = content.get("spread", {}).get(end[1], {}), end[2]
    if key not in values:
        raise ValueError(f"figure {name} has no number {label!r}")
    value = values[key]
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise ValueError(f"number {label!r} of figure {name} must be finite, got {value!r}")
    return f"{value:.3g}"


def _role(
    name: str, rawtext: str, text: str, lineno: int, inliner: Inliner, options=None, content=None
) -> tuple[list[nodes.Node], list[nodes.system_message]]:
    try:
        return [nodes.Text(number(text))], []
    except ValueError as error:
        message = inliner.reporter.error(str(error), line=lineno)
        return [inliner.problematic(rawtext, rawtext, message)], [message]


def setup(app: Sphinx) -> dict[str, bool]:
    """Give the role its name."""
    app.add_role("number", _role)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
