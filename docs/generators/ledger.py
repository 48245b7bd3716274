"""The ledger and the audit as pages: the files of the figures, with links to pages; long tables fold."""

import json
import re
from pathlib import Path

from generators.gallery import FIGURES
from generators.modules import write_if_new

FILE = re.compile(r"\]\((?:\.\./notebooks/|full_scale/)?(\w+/\w+)\.(?:png|md|csv|ipynb)\)")
LONG = 12  # lines of a table, from which on it is folded


def write(docs: Path) -> None:
    """Write both pages."""
    write_if_new(docs / "gallery" / "ledger.md", ledger((FIGURES / "ledger.md").read_text(encoding="utf-8")))
    write_if_new(docs / "gallery" / "audit.md", audit(FIGURES / "audit"))


def ledger(text: str) -> str:
    """Return the ledger with links to the pages of the gallery in place of files."""
    blocks = ["---\nhtml_theme.sidebar_secondary.remove: true\n---"]  # wide tables
    for block in text.replace(" The same tables in LaTeX: [ledger.tex](ledger.tex).", "").split("\n\n"):
        linked = FILE.sub(r"](\1.ipynb)", block)
        if linked.startswith("| figure or table | number"):
            linked = _folded(linked, "Numbers")
        elif linked.startswith("|"):
            linked = f"::::{{div}} figures\n\n{linked}\n\n::::"
        blocks.append(linked)
    return "\n\n".join(blocks)


def audit(folder: Path) -> str:
    """Return a page of all audit tables, each with its message and a link to its notebook."""
    blocks = [
        "# Audit",
        "Where a paper, its README and its public code disagree, each is run both ways; and what of public"
        " code its own tests hold.",
    ]
    for table in sorted(folder.glob("*.md")):
        record = json.loads(table.with_suffix(".json").read_text(encoding="utf-8"))
        title = record["title"].removeprefix("Audit: ")
        blocks += [
            f"## {title[:1].upper()}{title[1:]}",
            f"{record['message']} [The notebook](audit/{table.stem}.ipynb)",
        ]
        blocks.append(_folded(table.read_text(encoding="utf-8").strip(), "Table"))
    return "\n\n".join(blocks) + "\n"


def _folded(table: str, title: str) -> str:
    lines = table.strip().splitlines()
    if len(lines) < LONG:
        return table
    return f"::::{{dropdown}} {title}: {len(lines) - 2} lines\n\n{table.strip()}\n\n::::"
