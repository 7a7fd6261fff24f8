"""No cell of a table is run by the spreadsheet that opens it, and no text is lost on the way."""

from __future__ import annotations

import csv
import io

import pytest

from kling_platform import csvs

SIGNS = ["=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠"]
PAYLOADS = [
    sign + rest
    for sign in SIGNS
    for rest in ("1+1", 'HYPERLINK("http://x.example","y")', "cmd|' /C calc'!A0")
]
PAYLOADS += [blank + "=1+1" for blank in (" ", "   ", "\u00a0", "\u3000", "\ufeff")]
PLAIN = [
    "",
    "a=1",
    "1-2",
    "it's",
    'she said "no", twice',
    "line\nbreak",
    "semi;colon",
    "'quoted",
    "一只小狐狸",
]


def read_back(*rows: list[object]) -> list[list[str]]:
    text = "".join(csvs.lines(["a", "b"], rows))
    return list(csv.reader(io.StringIO(text, newline="")))[1:]


@pytest.mark.parametrize("payload", PAYLOADS)
def test_what_would_be_run_is_text(payload: str) -> None:
    assert read_back([payload, payload]) == [["'" + payload] * 2]


@pytest.mark.parametrize("text", PLAIN)
def test_all_else_is_what_it_was(text: str) -> None:
    assert read_back([text, text]) == [[text, text]]


def test_the_names_of_columns_are_cells_too() -> None:
    assert next(csvs.lines(["=evil", "b"], [])) == "'=evil,b\r\n"


def test_numbers_and_nothing_are_themselves() -> None:
    assert read_back([-5, None], [1.5, True]) == [["-5", ""], ["1.5", "true"]]
