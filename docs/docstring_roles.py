"""Docstrings as the site shows them: Sphinx's roles, such as ``:class:`Search```, become code or links."""

import re

import griffe

import zeus_ray

ROLE = re.compile(r":(?:class|func|meth|mod|data|attr):`~?([^`]+)`")


def linked(found: re.Match[str]) -> str:
    """A link where the name is a public one, which has an entry on the page; else its last part as code."""
    name = found[1].split(".")[-1]
    known = name in zeus_ray.__all__ and found[1] in {name, f"zeus_ray.{name}"}
    return f"[`{name}`][zeus_ray.{name}]" if known else f"`{name}`"


class Roles(griffe.Extension):
    """Replaces the roles in every docstring that is loaded."""

    def on_object(self, *, obj: griffe.Object, **_others: object) -> None:
        """Change the docstring of one module, class, function or attribute."""
        if obj.docstring:
            obj.docstring.value = ROLE.sub(linked, obj.docstring.value)
