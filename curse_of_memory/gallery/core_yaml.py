"""A reader of YAML in the core schema of version 1.2, where ``017`` is 17 and a date is a word.

PyYAML itself reads YAML 1.1, to which ``017`` is 15, ``190:20:30`` a number of seconds and ``no`` false.
"""

import math
import re
from functools import cache
from typing import Any

__all__ = ["read_yaml"]

# section 10.3.2 of YAML 1.2.2
SCHEMA = {
    "null": r"null|Null|NULL|~|",
    "bool": r"true|True|TRUE|false|False|FALSE",
    "int": r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+",
    "float": r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)",
}


def read_yaml(text: str) -> Any:
    """Return the content of a YAML document: None, bool, int, float, str, and lists and dicts of these.

    Aliases, tags of other types, duplicate keys, halves of a sign and numbers too large for a float are
    refused.

    Raises
    ------
    ValueError
        If the text is no YAML, or has one of these; the message is one line.

    Examples
    --------
    >>> read_yaml("{seed: 017, rate: 1e-3, when: 2001-02-03, clock: 190:20:30}")
    {'seed': 17, 'rate': 0.001, 'when': '2001-02-03', 'clock': '190:20:30'}
    """
    import yaml

    try:
        return yaml.load(text, Loader=_loader())  # a safe loader with fewer types
    except yaml.YAMLError as error:
        said = " ".join(str(error).split())
        raise ValueError(said.replace(' in "<unicode string>",', " at")) from None
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    except (OverflowError, ValueError) as error:  # PyYAML asks Python for the sign of any number
        raise ValueError(f"an escape names no sign of Unicode: {error}") from None


@cache
def _loader() -> type:
    import yaml
    import yaml.composer

    def refused(what: str, node: yaml.Node) -> yaml.constructor.ConstructorError:
        return yaml.constructor.ConstructorError(None, None, what, node.start_mark)

    class Loader(yaml.SafeLoader):
        """A safe loader with the scalars of the core schema only."""

        yaml_implicit_resolvers: dict = {}  # noqa: RUF012  (PyYAML's way)
        yaml_constructors: dict = {}  # noqa: RUF012

        def compose_node(self, parent, index):
            if self.check_event(yaml.events.AliasEvent):
                event = self.peek_event()
                raise yaml.composer.ComposerError(None, None, "aliases are not read", event.start_mark)
            return super().compose_node(parent, index)

        def scalar(self, node):
            kind = node.tag.rpartition(":")[2]
            text = self.construct_scalar(node)
            if kind == "str":
                if any(0xD800 <= ord(sign) < 0xE000 for sign in text):
                    raise refused("half a sign of Unicode is not read", node)
                return text
            if not re.fullmatch(SCHEMA[kind], text):
                raise refused(f"{text!r} is no {kind}", node)
            return (
                None if kind == "null" else text.lower() == "true" if kind == "bool" else number(text, node)
            )

        def sequence(self, node):
            return self.construct_sequence(node, deep=True)

        def mapping(self, node):
            if not isinstance(node, yaml.MappingNode):  # a tag may say so of anything
                raise refused(f"expected a mapping, but found a {node.id}", node)
            keys = [self.construct_object(key, deep=True) for key, _ in node.value]
            for place, key in enumerate(keys):
                if isinstance(key, list | dict) or key in keys[:place]:
                    raise refused(f"the key {key!r} stands twice or is no scalar", node.value[place][0])
            return dict(zip(keys, (self.construct_object(v, deep=True) for _, v in node.value), strict=True))

        def other(self, node):
            raise refused(f"values of the type {node.tag} are not read", node)

    def number(text: str, node: yaml.Node) -> int | float:
        try:
            if re.fullmatch(SCHEMA["int"], text):
                return (
                    int(text.replace("0o", "0"), 8) if "o" in text else int(text, 16 if "x" in text else 10)
                )
            value = float(text.lower().replace(".inf", "inf").replace(".nan", "nan"))
        except ValueError:  # Python reads so many digits and no more
            raise refused(f"a number of {len(text)} digits is not read", node) from None
        if math.isinf(value) and "inf" not in text.lower():
            raise refused(f"a number of the size of {text[:12]}... is too large", node)
        return value

    for kind, pattern in SCHEMA.items():
        Loader.add_implicit_resolver(f"tag:yaml.org,2002:{kind}", re.compile(rf"(?:{pattern})\Z"), None)
    for kind in ("str", *SCHEMA):
        Loader.add_constructor(f"tag:yaml.org,2002:{kind}", Loader.scalar)
    Loader.add_constructor("tag:yaml.org,2002:seq", Loader.sequence)
    Loader.add_constructor("tag:yaml.org,2002:map", Loader.mapping)
    # None stands for all other tags, which the stubs do not know
    Loader.add_constructor(None, Loader.other)  # pyright: ignore[reportArgumentType]
    return Loader
