"""The words in a prompt that make the sandbox misbehave, all in one table.

A word stands in square brackets anywhere in the prompt, with a value after ``=`` where the table names one:
``一只小猫 [slow=20]``. Tests can also order the next few requests to misbehave (see ``server``), by the same names.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

Stage = Literal["submit", "work", "poll", "file"]


@dataclass(frozen=True)
class Word:
    """One way to misbehave; ``value`` is what may follow ``=`` and ``default`` what holds without it."""

    name: str
    stage: Stage
    says: str
    value: Literal["", "times", "seconds", "text"] = ""
    default: str = ""
    creates: bool = True  # at submit: whether a generation exists (and would be billed) afterwards


WORDS: dict[str, Word] = {
    word.name: word
    for word in (
        # Submitting, nothing created
        Word("refuse", "submit", "400, code 1301: refused by the content policy", creates=False),
        Word("429", "submit", "429, code 1303: too many running", "times", creates=False),
        Word("503", "submit", "503: no channel for this model", "times", creates=False),
        Word("401", "submit", "401, although the key is right", "times", creates=False),
        Word("broke", "submit", "429, code 1102: the account's balance is used up", "times", creates=False),
        Word("500-before", "submit", "500, and nothing was created", "times", creates=False),
        Word(
            "html-before",
            "submit",
            "an HTML error page (502), and nothing was created",
            "times",
            creates=False,
        ),
        Word("break-before", "submit", "the line breaks before anything was created", "times", creates=False),
        # Submitting, created, and not said so
        Word("500", "submit", "500, although it was created"),
        Word("html", "submit", "an HTML error page (502), although it was created"),
        Word("break", "submit", "created, then the line breaks without an answer"),
        Word("late", "submit", "created, but the answer comes late", "seconds", "90"),
        Word("no-id", "submit", "created, but the answer carries no id"),
        Word("garbage", "submit", "created, but the answer is not JSON"),
        Word("drip-reply", "submit", "created, and the answer arrives a byte at a time", "seconds", "90"),
        # The work itself
        Word("fail", "work", "fails on the way", "text", "The model could not follow the prompt."),
        Word("slow", "work", "keeps processing for as long as said, whatever the speed", "seconds", "20"),
        Word("stuck", "work", "never finishes"),
        Word("wrong-ratio", "work", "the film has another ratio than asked"),
        # Asking how it goes
        Word("lost", "poll", "400 task_not_exist", "times"),
        Word("poll-429", "poll", "429 on asking", "times"),
        Word("poll-500", "poll", "500 on asking", "times"),
        Word("poll-401", "poll", "401 on asking, although the key is right", "times"),
        Word("poll-html", "poll", "an HTML page on asking", "times"),
        Word("poll-break", "poll", "the line breaks on asking", "times"),
        Word("odd-status", "poll", "a status word that nobody knows, until it is done"),
        Word("envelope", "poll", "answers in the family's envelope, with result_url"),
        Word("url-in-reason", "poll", "the envelope of older builds: the video's URL stands in fail_reason"),
        Word("simple", "poll", "the simple envelope, with data.url"),
        Word("no-url", "poll", "success without a URL", "times"),
        Word("expired", "poll", "the first link given out is dead (403), later ones work"),
        # Fetching the file
        Word("dead", "file", "404 on the file, always"),
        Word("truncated", "file", "the line breaks in the middle of the file"),
        Word("half-file", "file", "only the first half of the file, as if it were whole"),
        Word("not-video", "file", "an HTML page instead of the file, with 200"),
        Word("drip", "file", "the file arrives slowly", "seconds", "60"),
        Word("redirect", "file", "302 to the file"),
    )
}

_MARK = re.compile(r"\[([a-z0-9-]{2,20})(?:=([^\[\]]{0,200}))?\]")


def words_in(prompt: str) -> dict[str, str]:
    """Return the known words of ``prompt`` with their values; an unreadable number counts as the default."""
    found = {}
    for name, value in _MARK.findall(prompt):
        if word := WORDS.get(name):
            found[name] = checked(word, value)
    return found


def checked(word: Word, value: str) -> str:
    """Return ``value`` if ``word`` can use it, else the word's default."""
    if word.value in ("times", "seconds"):
        return value if re.fullmatch(r"\d{1,6}(\.\d{1,3})?", value) else word.default
    return value.strip() or word.default


def of_stage(words: dict[str, str], stage: Stage) -> dict[str, str]:
    """Return those of ``words`` that act in ``stage``."""
    return {name: value for name, value in words.items() if WORDS[name].stage == stage}


def table() -> str:
    """Return the table as text, for ``manage.py sandbox --help``."""
    titles = {
        "submit": "Submitting",
        "work": "The work itself",
        "poll": "Asking how it goes",
        "file": "Fetching the file",
    }
    lines = []
    for stage, title in titles.items():
        lines.append(f"{title}:")
        for word in WORDS.values():
            if word.stage == stage:
                form = f"[{word.name}{'=' + word.value.upper() if word.value else ''}]"
                lines.append(
                    f"  {form:<22} {word.says}{f' (default {word.default})' if word.default else ''}"
                )
    lines.append("TIMES: how often it happens to the same generation; without it, always.")
    return "\n".join(lines)
