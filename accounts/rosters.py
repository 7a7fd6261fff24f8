"""Reads a table of people as spreadsheets write it. What a line would do is judged by the services."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Mapping
from dataclasses import dataclass

from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db.models import TextChoices
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from accounts.models import Quota, User
from kling_platform.errors import InvalidValue, PlatformError
from kling_platform.text import check_text

MOST_LINES = 1_000
MOST_BYTES = 1_000_000

# Each column by its name in a file, and by what the reader's language calls it.
COLUMNS = {
    "email": gettext_lazy("email"),
    "user": gettext_lazy("user"),
    "role": gettext_lazy("role"),
    "teams": gettext_lazy("teams"),
    "credits": gettext_lazy("credits"),
    "period": gettext_lazy("period"),
}
# What the list of people has besides when it is exported: facts, which no file changes.
PASSED_OVER = ("active", "quotas", "used", "last_sign_in")
# In the column teams: to be in none of them.
NO_TEAM = "-"

EXAMPLE_HEADER = ("email", "role", "teams", "credits", "period")
EXAMPLE_ROWS = (
    ("lin@example.com", "member", "Film", 1_000, "month"),
    ("maria@example.com", "manager", "Film; Sound", 2_000, "month"),
    ("zhao@example.com", None, None, None, None),
)

# Excel's "Unicode text" begins with a mark and has tabs; what a Chinese Excel calls CSV is GB18030.
_MARKS = {b"\xef\xbb\xbf": "utf-8-sig", b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}


@dataclass(frozen=True)
class Wish:
    """The cells of a line as values; what is empty or None was not said."""

    email: str = ""
    user: str = ""
    role: str = ""
    teams: tuple[str, ...] | None = None
    credits: int | None = None
    period: str = ""


@dataclass(frozen=True)
class Entry:
    """One line: ``number`` is where it begins in the file, from 1; ``error`` is what cannot be read in it."""

    number: int
    wish: Wish
    error: PlatformError | None = None


def decode(data: bytes) -> str:
    """The text of a file in UTF-8 (with a mark or without), UTF-16 (with one) or GB18030."""
    if len(data) > MOST_BYTES:
        raise _too_large()
    marked = next((encoding for mark, encoding in _MARKS.items() if data.startswith(mark)), None)
    for encoding in (marked,) if marked else ("utf-8", "gb18030"):
        try:
            return data.decode(encoding)
        except UnicodeDecodeError:
            continue
    raise InvalidValue(
        _("The file cannot be read as text. Save it as “CSV UTF-8”, and send it again."), param="file"
    )


def _too_large() -> InvalidValue:
    return InvalidValue(_("The file is larger than 1 MB, and a table of people is not."), param="file")


def read(text: str) -> list[Entry]:
    """The lines below the first one, which names the columns; ``InvalidValue`` where there is no such table."""
    if len(text) > MOST_BYTES:
        raise _too_large()
    text = check_text(text.removeprefix("\ufeff"), param="table")
    heading = text.lstrip().partition("\n")[0]
    delimiter = max(",;\t", key=heading.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    entries: list[Entry] = []
    columns: list[str] = []
    number = 1
    try:
        for cells in reader:
            filled = [_plain(cell) for cell in cells]
            if any(filled) and columns:
                entries.append(_entry(number, columns, filled))
            elif any(filled):
                columns = _columns(filled)
            number = reader.line_num + 1
            if len(entries) > MOST_LINES:
                raise InvalidValue(
                    _("A table has up to %(most)d people. Send it in parts; nothing was changed.")
                    % {"most": MOST_LINES},
                    param="table",
                )
    except csv.Error as error:
        raise InvalidValue(
            _("The table cannot be read at line %(line)d: check its quotation marks.")
            % {"line": reader.line_num},
            param="table",
        ) from error
    if not entries:
        raise InvalidValue(_("The table is empty: it names nobody."), param="table")
    return entries


def _plain(cell: str) -> str:
    """A cell without the ``'`` that keeps spreadsheets from running it, which our own exports have."""
    cell = cell.strip()
    return cell[1:] if re.match(r"'[=+\-@＝＋－＠]", cell) else cell


def _columns(names: list[str]) -> list[str]:
    called = {str(label).casefold(): name for name, label in COLUMNS.items()}
    called |= {name: name for name in (*COLUMNS, *PASSED_OVER)}
    while not names[-1]:
        names = names[:-1]
    found = [called.get(name.casefold(), "") for name in names]
    for name, column in zip(names, found, strict=True):
        if not column or found.count(column) > 1:
            raise InvalidValue(
                _("The first line names the columns, each once: %(known)s. This one does not: “%(name)s”.")
                % {"known": ", ".join(COLUMNS), "name": name[:60]},
                param="table",
            )
    if not {"email", "user"} & set(found):
        raise InvalidValue(_("A table of people has the column email, or user, or both."), param="table")
    return found


def _entry(number: int, columns: list[str], cells: list[str]) -> Entry:
    given = {name: cell for name, cell in zip(columns, cells, strict=False) if cell}
    named = Wish(email=given.get("email", "")[:254], user=given.get("user", "")[:150])
    try:
        if any(cells[len(columns) :]):
            raise InvalidValue(_("This line has more cells than the first one has columns."))
        return Entry(number, _wish(given))
    except PlatformError as error:
        return Entry(number, named, error)


def _wish(given: Mapping[str, str]) -> Wish:
    email, user = given.get("email", ""), given.get("user", "")
    if not email and not user:
        raise InvalidValue(_("The line names nobody: it needs an e-mail address."))
    if email:
        try:
            validate_email(email)
        except ValidationError as error:
            raise InvalidValue("; ".join(error.messages)) from error
    return Wish(
        email=email,
        user=user,
        role=_word(
            given.get("role", ""), User.Role, _("A role is one of member, manager, finance and admin.")
        ),
        teams=_names(given["teams"]) if "teams" in given else None,
        credits=_credits(given["credits"]) if "credits" in given else None,
        period=_word(
            given.get("period", ""), Quota.Period, _("A period is one of day, week, month and total.")
        ),
    )


def _word(text: str, choices: type[TextChoices], otherwise: str) -> str:
    """The value of this name, or of what the reader's language calls it."""
    called = {str(label).casefold(): str(value) for value, label in choices.choices}
    called |= {str(value): str(value) for value in choices.values}
    if text and text.casefold() not in called:
        raise InvalidValue(otherwise)
    return called.get(text.casefold(), "")


def _names(text: str) -> tuple[str, ...]:
    if text == NO_TEAM:
        return ()
    return tuple(name.strip()[:100] for name in re.split("[;；]", text) if name.strip())


def _credits(text: str) -> int:
    """“1000”, and as spreadsheets write it: “1,000”, “1 000”."""
    if not re.fullmatch(r"\d{1,3}([, \u00a0]\d{3})+|\d{1,15}", text, re.ASCII):
        raise InvalidValue(_("Credits are a whole number: “%(text)s” is none.") % {"text": text[:20]})
    return int(re.sub(r"\D", "", text))
