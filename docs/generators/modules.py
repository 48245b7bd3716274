"""Pages of what is inside: of every package the public names that no page of the API lists by hand."""

import inspect
from collections import defaultdict
from pathlib import Path

from generators.docstrings import data_directive
from generators.public_names import (
    PublicName,
    foreign_bases,
    listed,
    public_modules,
    public_names,
)

FOLDER = "inside"


def write(docs: Path) -> None:
    """Write a page for every package that has such names."""
    by_path = {public.path: public for public in public_names()}
    shown = {by_path[path].home for path in listed(docs / "api") if path in by_path}
    rest: dict[str, list[PublicName]] = defaultdict(list)
    for public in by_path.values():
        if public.home not in shown and not inspect.ismodule(public.thing):
            shown.add(public.home)
            rest[public.module].append(public)
    pages: dict[str, list[str]] = defaultdict(list)
    for module in (m.__name__ for m in public_modules()):
        if module in rest:
            pages[_page(module)].append(module)
    folder = docs / "api" / FOLDER
    folder.mkdir(exist_ok=True)
    wanted = {f"{page}.rst": _text(page, modules, rest, by_path) for page, modules in pages.items()}
    for old in set(folder.glob("*.rst")) - {folder / name for name in wanted}:
        old.unlink()
    for name, text in wanted.items():
        write_if_new(folder / name, text)


def write_if_new(path: Path, text: str) -> None:
    """Write a page, unless it says the same already: what did not change is not built again."""
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        path.write_text(text, encoding="utf-8")


def _page(module: str) -> str:
    """Return the package, of at most three parts, on whose page a module is."""
    return ".".join(module.split(".")[1:3] if module.count(".") > 2 else module.split(".")[1:2])


def _text(
    page: str, modules: list[str], rest: dict[str, list[PublicName]], by_path: dict[str, PublicName]
) -> str:
    blocks = [page, "=" * len(page), ""]
    for module in modules:
        title = module.rpartition(".")[2]
        blocks += [title, "-" * len(title), "", f".. automodule:: {module}"]
        if module in by_path:  # a function has the name of its module, and is listed elsewhere
            blocks.append("   :no-index:")
        blocks.append("")
        for public in rest[module]:
            blocks += [*_directive(public), ""]
    return "\n".join(blocks)


def _directive(public: PublicName) -> list[str]:
    if inspect.isclass(public.thing):
        inherited = f"   :inherited-members: {foreign_bases(public.path)}"
        return [f".. autoclass:: {public.path}", "   :members:", inherited]
    if inspect.isroutine(public.thing):
        return [f".. autofunction:: {public.path}"]
    return data_directive(public.path)
