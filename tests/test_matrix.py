"""The matrix: a grid or a table becomes lines, the lines a price, and the price, once agreed to, a batch."""

from __future__ import annotations

import re
from typing import Any

import pytest

from accounts.models import User
from accounts.quotas import balances
from accounts.services import set_quota
from generations import matrix
from generations.models import Batch, Generation
from kling_platform.errors import InvalidValue
from tests.portal import signed_in

GRID = {
    "as": "grid",
    "prompts": "A fox.\n\n  An owl.  \n",
    "makes": ["kling-v2-5-turbo-std/std", "kling-v2-6/pro"],
    "seconds": ["5", "10"],
    "size": "9:16",
}
GRID_PRICE = 2 * (3 + 5) * (5 + 10)


def test_a_grid_is_every_prompt_on_every_model_in_every_length() -> None:
    requests = matrix.grid(["A fox.", " ", "An owl."], GRID["makes"], ["5", "10", "5"], "9:16")  # type: ignore[arg-type]
    assert len(requests) == 8
    assert requests[3] == {
        "prompt": "A fox.",
        "model": "kling-v2-6",
        "duration": "10",
        "size": "9:16",
        "metadata": {"mode": "pro"},
    }
    assert [request["prompt"] for request in requests] == ["A fox."] * 4 + ["An owl."] * 4


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_a_table_says_what_each_line_asks_for(delimiter: str) -> None:
    lines = [
        ["Model", "prompt ", "seconds", "sound", "negative_prompt"],
        ["kling-v2-6", '"One, two;\n""three"""', "10", "yes", "text"],
        ["", "", "", "", ""],
        ["kling-v2-5-turbo-std", "=A formula", "", "", ""],
    ]
    text = "\ufeff" + "\r\n".join(delimiter.join(cells) for cells in lines)
    assert matrix.table(text) == [
        (
            2,
            {
                "prompt": 'One, two;\n"three"',
                "model": "kling-v2-6",
                "duration": "10",
                "metadata": {"negative_prompt": "text", "sound": "on"},
            },
        ),
        (5, {"prompt": "=A formula", "model": "kling-v2-5-turbo-std"}),
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "names the columns"),
        ("prompt\nA fox.", "names the columns"),
        ("prompt,model,price\n", "names the columns"),
        ("prompt,model,model\n", "names the columns"),
        ("prompt,model\nA fox, running,kling-v2-6", "Line 2 has more cells"),
        ('prompt,model\n"A fox,kling-v2-6', "Line 2 is no CSV"),
        ("prompt,model\n" + "x" * 200_000, "too long"),
    ],
)
def test_a_table_that_is_none_is_refused_with_its_line(text: str, said: str) -> None:
    with pytest.raises(InvalidValue, match=said):
        matrix.table(text)


# --- the page ---------------------------------------------------------------------


def ask(user: User, **fields: Any) -> str:
    answer = signed_in(user).post("/matrix", {**GRID, **fields})
    return answer.content.decode() if answer.status_code != 302 else answer["Location"]


@pytest.mark.django_db
def test_nothing_is_started_before_the_price_was_seen(alice: User) -> None:
    page = ask(alice)
    assert f"Start all · {GRID_PRICE} credits" in page
    assert page.count("<td>Kling 2.6 · 1080p</td>") == 4
    assert not Generation.objects.exists()
    nonce = re.search(r'name="nonce" value="([^"]+)"', page)
    assert nonce
    agreed = {"start": "1", "price": str(GRID_PRICE), "nonce": nonce[1]}
    to = ask(alice, **agreed)
    assert Generation.objects.filter(user=alice).count() == 8
    assert balances(alice)[0].wallet.available == 1_000 - GRID_PRICE
    assert ask(alice, **agreed) == to, "sent twice, made once"
    assert Batch.objects.count() == 1
    shown = signed_in(alice).get(to).content.decode()
    assert shown.count('<article class="shot">') == 8
    assert f"{GRID_PRICE} held" in shown


@pytest.mark.django_db
@pytest.mark.parametrize("price", ["", "1", str(GRID_PRICE - 1)])
def test_another_price_than_the_one_seen_starts_nothing(alice: User, price: str) -> None:
    page = ask(alice, start="1", price=price)
    assert "The price has changed meanwhile. Nothing was started" in page
    assert not Generation.objects.exists()


@pytest.mark.django_db
def test_a_line_that_cannot_be_made_is_named_and_stops_all(alice: User) -> None:
    table = "prompt,model,seconds\nA fox.,kling-v2-6,5\nAn owl.,kling-v9,5\nA bat.,kling-v2-6,7"
    page = ask(alice, **{"as": "table", "table": table})
    assert re.search(r'<td class="mono">3</td><td colspan="4">Choose one of these models', page)
    assert re.search(r'<td class="mono">4</td><td colspan="4">kling-v2-6 makes videos of 5 or 10', page)
    assert "Start all" not in page
    ask(alice, **{"as": "table", "table": table, "start": "1", "price": "15"})
    assert not Generation.objects.exists()


@pytest.mark.django_db
def test_more_than_can_be_paid_is_refused_as_a_whole(alice: User) -> None:
    set_quota(alice, credits=GRID_PRICE - 1)
    page = ask(alice)
    assert f"{GRID_PRICE - 1} credits left, this needs {GRID_PRICE}" in page
    assert "Start all" not in page
    ask(alice, start="1", price=str(GRID_PRICE))
    assert not Generation.objects.exists()


@pytest.mark.django_db
def test_what_waits_can_be_taken_back(alice: User, bob: User) -> None:
    to = ask(alice, start="1", price=str(GRID_PRICE))
    assert signed_in(bob).get(to).status_code == 404
    assert signed_in(bob).post(f"{to}/cancel").status_code == 404
    page = signed_in(alice).post(f"{to}/cancel", follow=True).content.decode()
    assert "8 canceled. Their credits are back." in page
    assert balances(alice)[0].wallet.available == 1_000
