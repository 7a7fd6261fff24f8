"""The probe speaks to a real server, pays only when told to, and never shows the key."""

from __future__ import annotations

from dataclasses import replace

import pytest
from django.core.management import CommandError, call_command

from generations.management.commands import probe_upstream
from tests import scripted
from tests.conftest import SANDBOX_KEY

pytestmark = pytest.mark.django_db


def test_without_pay_nothing_is_posted(sandbox, capsys):
    call_command("probe_upstream")
    said = capsys.readouterr().out
    assert "HTTP 400" in said and "Nothing was paid for" in said
    assert sandbox.journal() == []


def test_with_pay_one_video_is_made_and_every_answer_shown(sandbox, capsys, monkeypatch):
    monkeypatch.setattr(probe_upstream, "ASKED_EVERY", 0.05)
    call_command("probe_upstream", "--pay")
    said = capsys.readouterr().out
    assert len(sandbox.journal()) == 1
    assert "status succeeded" in said and "OMNIMAAS_METADATA=string" in said
    assert "fps" in said and "9:16 was asked for and honoured" in said
    assert SANDBOX_KEY not in said


def test_a_ratio_that_was_not_honoured_names_the_setting_to_try(sandbox, capsys, monkeypatch):
    monkeypatch.setattr(probe_upstream, "ASKED_EVERY", 0.05)
    order = probe_upstream.Command._order

    def square(self, picture):
        return replace(order(self, picture), size="1:1")  # as a gateway would that gives squares

    monkeypatch.setattr(probe_upstream.Command, "_order", square)
    call_command("probe_upstream", "--pay")
    assert "Try OMNIMAAS_METADATA=object" in capsys.readouterr().out


def test_a_wrong_key_is_said_in_a_line(sandbox, settings):
    settings.OMNIMAAS_API_KEY = "wrong"
    with pytest.raises(CommandError, match="not accepted"):
        call_command("probe_upstream")


@pytest.mark.parametrize(
    ("body", "shape"),
    [
        ({"code": "success", "data": {}}, "envelope"),
        ({"error": {"message": "x"}}, "error object"),
        ({"code": "x", "message": "y"}, "flat error"),
        ({"id": "x", "status": "y"}, "document"),
        (b"<html>", "not a JSON object"),
    ],
)
def test_shapes_are_named(body, shape, settings, capsys):
    settings.OMNIMAAS_API_KEY = "k"
    with scripted.serve(scripted.answer(200, body)) as upstream:
        settings.OMNIMAAS_BASE_URL = upstream.url
        call_command("probe_upstream")
    assert shape in capsys.readouterr().out
