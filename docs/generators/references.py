"""The bibliography: labels are what docstrings say, the number on arXiv, or else author and year."""

import re
from collections.abc import Iterator
from typing import Any

from pybtex.plugin import register_plugin
from pybtex.style.formatting.unsrt import Style as Unsorted
from pybtex.style.labels import BaseLabelStyle
from pybtex.style.sorting.author_year_title import SortingStyle
from sphinx.application import Sphinx


class Labels(BaseLabelStyle):
    """The number on arXiv, or first author and year."""

    def format_labels(self, entries: list[Any]) -> Iterator[str]:
        """Yield the labels of the entries."""
        for entry in entries:
            surname = " ".join(entry.persons["author"][0].last_names)
            yield entry.fields.get("eprint", f"{surname} {entry.fields['year']}")


class Style(Unsorted):
    """Entries by author; an article need not be in a journal."""

    default_sorting_style = SortingStyle
    default_label_style = Labels

    def format_entry(self, label: str, entry: Any, bib_data: Any = None) -> Any:
        """Return an entry as it is printed, with the formula of its title in letters."""
        entry.fields["title"] = in_letters(entry.fields["title"])
        return super().format_entry(label, entry, bib_data)

    def get_article_template(self, entry: Any) -> Any:
        """Return how an article is printed; of what is on arXiv alone, as anything else."""
        template = super().get_article_template if "journal" in entry.fields else self.get_misc_template
        return template(entry)


def in_letters(title: str) -> str:
    """Return a title without TeX, which would be shown as it is written; braces keep capitals."""
    return re.sub(
        r"\$([^$]*)\$",
        lambda formula: "{" + re.sub(r"[_^]", "", formula[1].replace(r"\infty", "∞")) + "}",
        title,
    )


def setup(app: Sphinx) -> dict[str, bool]:
    """Give the style its name."""
    register_plugin("pybtex.style.formatting", "as_cited", Style)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
