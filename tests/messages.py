"""Which texts the source marks for translation; ``python -m tests.messages`` brings the .po up to date.

Django's own makemessages needs GNU gettext, which a fresh machine does not have; Babel reads the same marks.
"""

from __future__ import annotations

import ast
import io
import re
from pathlib import Path
from typing import NamedTuple

from babel.messages import Catalog, pofile

ROOT = Path(__file__).parent.parent
PO = ROOT / "locale/zh_Hans/LC_MESSAGES/django.po"
PACKAGES = ("kling_platform", "accounts", "generations")
# Which argument is what, by the name that is called.
CALLS = {
    "_": ("id",),
    "gettext": ("id",),
    "gettext_lazy": ("id",),
    "gettext_noop": ("id",),
    "ngettext": ("id", "plural"),
    "ngettext_lazy": ("id", "plural"),
    "pgettext": ("context", "id"),
    "pgettext_lazy": ("context", "id"),
    "npgettext": ("context", "id", "plural"),
}
_STRING = r"""u?'(?:[^'\\]|\\.)*'|u?"(?:[^"\\]|\\.)*\""""
_IN_TEMPLATE = re.compile(rf"(?<!\w)(_|gettext|ngettext|pgettext|npgettext)\(((?:{_STRING}|[^()])*)\)")
# What changes with every run or names a person has no place in the repository.
_RESTLESS = re.compile(
    r'"(?:POT-Creation-Date|PO-Revision-Date|Generated-By|Last-Translator|Language-Team'
    r"|Report-Msgid-Bugs-To|Project-Id-Version): .*\n"
)


class Message(NamedTuple):
    """One text; ``plural`` and ``context`` are empty where it has none."""

    id: str
    plural: str = ""
    context: str = ""


def in_python(source: str) -> set[Message]:
    """The marked texts of a module. A mark around anything but a plain string is a mistake: it is found nowhere."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in CALLS:
            names = CALLS[node.func.id]
            texts = [arg.value if isinstance(arg, ast.Constant) else None for arg in node.args[: len(names)]]
            assert all(isinstance(text, str) for text in texts), f"line {node.lineno}: mark a plain string"
            found.add(Message(**dict(zip(names, texts, strict=True))))
    return found


def in_template(source: str) -> set[Message]:
    """The marked texts of a template: Django turns its tags into calls, which are read like Python's."""
    from django.utils.translation.template import templatize

    calls = [f"{name}({args})" for name, args in _IN_TEMPLATE.findall(templatize(source))]
    return (
        set().union(*(in_python(re.sub(r",\s*count\)", ", 2)", call)) for call in calls)) if calls else set()
    )


def marked() -> dict[Message, list[str]]:
    """Every marked text of the project, with the files that it stands in."""
    found: dict[Message, list[str]] = {}
    for path in sorted(_files()):
        read = in_python if path.suffix == ".py" else in_template
        for message in read(path.read_text()):
            found.setdefault(message, []).append(str(path.relative_to(ROOT)))
    return found


def _files() -> list[Path]:
    python = [path for package in PACKAGES for path in (ROOT / package).rglob("*.py")]
    return [*python, *(path for path in (ROOT / "templates").rglob("*") if path.suffix in (".html", ".txt"))]


def catalog() -> Catalog:
    """The translations as they lie in the repository."""
    with PO.open("rb") as file:
        return pofile.read_po(file, locale="zh_Hans_CN")


def update() -> Catalog:
    """The translations for exactly the texts that are marked now: new ones empty, unused ones gone."""
    old, new = catalog(), Catalog(locale="zh_Hans_CN", charset="utf-8", fuzzy=False)
    new.header_comment = "# 简体中文. Written by hand; `python -m tests.messages` adds and removes entries."
    for message, places in sorted(marked().items()):
        key = (message.id, message.plural) if message.plural else message.id
        was = old.get(message.id, message.context or None)
        text = was.string if was and not was.fuzzy else ""
        if message.plural and not isinstance(text, tuple):
            text = (text,)
        flags = {"python-format"} if re.search(r"%\(\w+\)[sdf]|%[sd]", message.id) else set()
        new.add(key, text, [(place, None) for place in places], flags, context=message.context or None)
    return new


def main() -> None:
    out = io.BytesIO()
    pofile.write_po(out, update(), width=110, omit_header=False, sort_output=False, ignore_obsolete=True)
    PO.write_text(_RESTLESS.sub("", out.getvalue().decode()))


if __name__ == "__main__":
    import os

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "kling_platform.settings")
    os.environ.setdefault("KLING_TESTING", "1")
    import django

    django.setup()
    main()
