"""Names of types in signatures are looked for only where the site has something of that name.

Most are of Python, numpy or torch, and Sphinx would hold each against the end of every name there is.
"""

from typing import Any

from sphinx.application import Sphinx
from sphinx.domains.python import ObjectEntry, PythonDomain


class Names(PythonDomain):
    """The domain of Python, which knows how its names end."""

    _ends: tuple[int, set[str]] = (0, set())

    def find_obj(
        self, env: Any, modname: str, classname: str, name: str, type: str | None, searchmode: int = 0
    ) -> list[tuple[str, ObjectEntry]]:
        """Find what has a name, or ends with it; all that Sphinx finds ends with the name."""
        if name.removesuffix("()") not in self.ends():
            return []
        return super().find_obj(env, modname, classname, name, type, searchmode)

    def ends(self) -> set[str]:
        """Return ``a.b.c``, ``b.c`` and ``c`` for each name ``a.b.c``."""
        if self._ends[0] != len(self.objects):  # none is renamed or taken away where links are looked for
            parts = [name.split(".") for name in self.objects]
            ends = {".".join(some[start:]) for some in parts for start in range(len(some))}
            self._ends = (len(self.objects), ends)
        return self._ends[1]


def setup(app: Sphinx) -> dict[str, bool]:
    """Have it in place of the domain of Sphinx."""
    app.add_domain(Names, override=True)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
