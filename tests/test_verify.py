"""``manage.py verify``: silent about a sound platform, loud about each thing that may not be."""

from __future__ import annotations

import io
import uuid
from collections.abc import Iterator
from datetime import timedelta
from functools import cache

import pytest
import sqlparse
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.core.management import call_command
from django.db import connection, transaction
from django.db.models import F
from django.utils import timezone

from accounts import ledger, quotas, triggers
from accounts import services as people
from accounts.invariants import INVARIANTS as OF_ACCOUNTS
from accounts.models import Quota, Transfer, User, Wallet
from generations import invariants, services, upkeep
from generations.invariants import INVARIANTS as OF_GENERATIONS
from generations.models import Alarm, DailyUsage, Event, Generation, InputImage, Status, Video
from tests.makers import ask, claim_one, storing, submitted

pytestmark = [pytest.mark.django_db, pytest.mark.sqlite]

# Kept from look to look, as the tables stay what they are.
PARSE = cache(sqlparse.parse)


@pytest.fixture(autouse=True)
def _tables_are_parsed_once() -> Iterator[None]:
    """SQLite tells of a table in SQL alone, which Django parses at every look: nine tenths of a look's time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sqlparse, "parse", PARSE)
        yield


BYTES, PICTURE = b"a film, as far as its length is concerned", b"a picture"


def verify() -> tuple[int, list[str]]:
    """(exit status, lines)"""
    out = io.StringIO()
    try:
        call_command("verify", stdout=out, stderr=io.StringIO())
    except SystemExit as end:
        return int(end.code or 0), out.getvalue().splitlines()
    return 0, out.getvalue().splitlines()


def film(generation: Generation) -> Video:
    return Video(
        file=default_storage.save("videos/v.mp4", ContentFile(BYTES)),
        poster=default_storage.save("videos/v.jpg", ContentFile(PICTURE)),
        width=1280,
        height=720,
        seconds=5,
        bytes=len(BYTES),
        sha256="0" * 64,
    )


def stored(user: User) -> Generation:
    generation = storing(user)
    assert services.record_stored(generation.pk, film(generation))
    return generation


@pytest.fixture
def world(alice: User, bob: User) -> None:
    """One generation in every state, quotas that were edited, and a period that is over."""
    stored(alice)
    lost = storing(alice)
    for _ in range(3):
        Generation.objects.filter(pk=lost.pk).update(
            next_check_at=timezone.now(), store_attempts=F("store_attempts") + 1
        )
        services.record_store_failed(lost.pk, message="gone", gone=True)
    lost.refresh_from_db()
    assert lost.status == Status.FAILED
    ask(bob)
    assert services.record_refused(claim_one(), code="1301", message="content policy")
    ask(bob)
    assert services.record_doubt(claim_one(), code="no_answer", message="reset")
    submitted(alice)
    storing(bob)
    services.cancel(ask(bob), actor=bob)
    ask(bob)
    claim_one()
    people.set_quota(bob, credits=500)
    people.grant(bob.quotas.get(), credits=20, reason="", actor=None)
    people.adjust(bob.quotas.get(), credits=-7, reason="counted twice", actor=None)
    ask(bob)
    key, _text = people.make_key(bob, label="k")
    people.set_quota(key, credits=40, period="day")
    services.create(user=bob, request={"model": "kling-v2-5-turbo-std", "prompt": "x"}, api_key=key)
    picture = default_storage.save("inputs/p.jpg", ContentFile(PICTURE))
    InputImage.objects.create(
        generation=Generation.objects.filter(user=bob).latest("created_at"), position=0, file=picture
    )
    Wallet.objects.filter(quota__user=alice).update(
        starts_at=timezone.now() - timedelta(days=1), ends_at=timezone.now() - timedelta(seconds=1)
    )
    quotas.balances(alice)


def test_a_sound_platform_is_ok_line_by_line(world: None) -> None:
    status, lines = verify()
    assert [line for line in lines if not line.startswith("ok ")] == []
    assert status == 0
    assert len(lines) == len(OF_ACCOUNTS) + len(OF_GENERATIONS)
    assert set(Generation.objects.values_list("status", flat=True)) == set(Status.values)


def test_an_empty_platform_is_ok() -> None:
    assert verify()[0] == 0


# --- what may not be, planted past every guard ------------------------------------------

NAMES = {invariant.ask.__name__: invariant.name for invariant in (*OF_ACCOUNTS, *OF_GENERATIONS)}
CHECKS_A, CHECKS_G, STAND_A, STAND_G = (
    next(invariant.name for invariant in invariants if words in invariant.name)
    for words in ("every CHECK", "the constraints of")
    for invariants in (OF_ACCOUNTS, OF_GENERATIONS)
)


def succeeded() -> Generation:
    return Generation.objects.get(status=Status.SUCCEEDED)


def queued() -> Generation:
    return Generation.objects.filter(status=Status.QUEUED, api_key=None).latest("created_at")


def sql(*statements: str) -> None:
    with connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)


def drop_check(table: str, name: str) -> None:
    """SQLite can't drop a CHECK, but can be told to look away."""
    if connection.vendor == "postgresql":
        sql("SET CONSTRAINTS ALL IMMEDIATE", f"ALTER TABLE {table} DROP CONSTRAINT {name}")
    else:
        sql("PRAGMA ignore_check_constraints = ON")


def mint() -> None:
    Wallet.objects.filter(quota__user__username="bob").update(
        granted=F("granted") + 5, available=F("available") + 5
    )


def skip_a_line() -> None:
    Wallet.objects.filter(quota__user__username="bob").update(version=F("version") + 1)


def rewrite_a_line() -> None:
    triggers.remove()
    line = Transfer.objects.filter(kind="reserve").latest("pk")
    Transfer.objects.filter(pk=line.pk).update(available_after=F("available_after") + 1)
    triggers.install()


def move_a_charge() -> None:
    """Charged to another generation than it was held for."""
    triggers.remove()
    line = Transfer.objects.filter(kind="settle").latest("pk")
    Transfer.objects.filter(pk=line.pk).update(generation_id=queued().pk)
    triggers.install()


def refund_what_was_returned() -> None:
    sql("DROP INDEX accounts_transfer_one_resolution", "DROP INDEX accounts_transfer_one_refund")
    held = Transfer.objects.filter(kind="release").latest("pk").reservation
    assert held is not None
    Wallet.objects.filter(pk=held.wallet_id).update(
        spent=F("spent") + held.amount, granted=F("granted") + held.amount
    )
    ledger.post(
        held.wallet_id, "refund", held.amount, generation_id=held.generation_id, reservation_id=held.pk
    )


def leave_credits_in_a_closed_period() -> None:
    Wallet.objects.filter(closed_at__isnull=False).update(
        available=F("available") + 5, expired=F("expired") - 5
    )


def edit_a_quota_by_hand() -> None:
    Quota.objects.filter(user__username="bob").update(credits=900)


def break_a_check() -> None:
    drop_check("accounts_wallet", "accounts_wallet_conserved")
    Wallet.objects.filter(quota__user__username="bob").update(granted=F("granted") + 1)


def drop_an_index() -> None:
    sql("DROP INDEX accounts_transfer_one_resolution")


def drop_a_trigger() -> None:
    triggers.remove()


def charge_too_early() -> None:
    ledger.settle(queued().pk)


def change_a_price() -> None:
    Generation.objects.filter(pk=queued().pk).update(price=F("price") + 1)


def hold_for_nothing() -> None:
    wallet = Wallet.objects.get(quota__user__username="bob", closed_at__isnull=True)
    ledger.reserve([wallet.pk], 5, generation_id=uuid.uuid4())


def let_a_stranger_pay() -> None:
    Generation.objects.filter(pk=queued().pk).update(user=User.objects.get(username="alice"))


def succeed_by_hand() -> None:
    Generation.objects.filter(pk=succeeded().pk).update(status=Status.FAILED)


def forget_a_history() -> None:
    Event.objects.filter(generation=queued()).delete()


def jump() -> None:
    event = Event.objects.filter(generation=succeeded(), to_status="running").get()
    event.delete()


def invent_a_transition() -> None:
    Event.objects.create(generation=succeeded(), from_status="succeeded", to_status="queued")
    Event.objects.create(generation=succeeded(), from_status="queued", to_status="succeeded")


def never_look_again() -> None:
    drop_check("generations_generation", "generations_generation_open_is_due")
    Generation.objects.filter(pk=queued().pk).update(next_check_at=None)


def lose_a_video() -> None:
    default_storage.delete(succeeded().video.file.name)


def cut_a_video() -> None:
    name = succeeded().video.file.name
    default_storage.delete(name)
    assert default_storage.save(name, ContentFile(BYTES[:-1])) == name


def lose_a_poster() -> None:
    default_storage.delete(succeeded().video.poster.name)


def forget_a_video() -> None:
    Video.objects.all().delete()


def show_a_video_too_early() -> None:
    Video.objects.filter(generation=succeeded()).update(
        generation=Generation.objects.filter(status="storing")[0]
    )


def miscount_a_day() -> None:
    services.sum_up(timezone.localdate())
    DailyUsage.objects.filter(succeeded=1).update(credits=1)


def lose_a_picture() -> None:
    default_storage.delete(InputImage.objects.get().file.name)


def use_an_id_twice() -> None:
    table = Generation._meta.db_table
    with connection.cursor() as cursor:
        found = connection.introspection.get_constraints(cursor, table)
    name = next(n for n, c in found.items() if c["unique"] and c["columns"] == ["upstream_id"])
    sql("SET CONSTRAINTS ALL IMMEDIATE", f"ALTER TABLE {table} DROP CONSTRAINT {name}")
    Generation.objects.filter(upstream_id__isnull=False).update(upstream_id="up-1")


def mend_what_no_transaction_takes_back() -> None:
    if connection.vendor == "sqlite":
        sql("PRAGMA ignore_check_constraints = OFF")
    video, image = Video.objects.get(), InputImage.objects.get()
    for name, content in ((video.file.name, BYTES), (video.poster.name, PICTURE), (image.file.name, PICTURE)):
        default_storage.delete(name)
        assert default_storage.save(name, ContentFile(content)) == name


BREACHES = [
    (mint, NAMES["wallets_equal_their_journal"]),
    (skip_a_line, NAMES["wallets_equal_their_journal"]),
    (rewrite_a_line, NAMES["journal_replays"]),
    (move_a_charge, NAMES["resolutions_fit"]),
    (refund_what_was_returned, NAMES["refunds_follow_charges"]),
    (leave_credits_in_a_closed_period, NAMES["closed_wallets_are_empty"]),
    (edit_a_quota_by_hand, NAMES["open_wallets_carry_their_quota"]),
    (break_a_check, CHECKS_A),
    (drop_an_index, STAND_A),
    (drop_a_trigger, NAMES["triggers_stand"]),
    (charge_too_early, NAMES["credits_follow_the_state"]),
    (change_a_price, NAMES["credits_follow_the_state"]),
    (succeed_by_hand, NAMES["credits_follow_the_state"]),
    (hold_for_nothing, NAMES["reservations_have_their_generation"]),
    (let_a_stranger_pay, NAMES["the_right_ones_pay"]),
    (succeed_by_hand, NAMES["history_ends_in_the_state"]),
    (forget_a_history, NAMES["history_ends_in_the_state"]),
    (jump, NAMES["history_is_a_chain"]),
    (invent_a_transition, NAMES["history_is_a_chain"]),
    (never_look_again, CHECKS_G),
    (forget_a_video, NAMES["videos_are_where_they_should_be"]),
    (show_a_video_too_early, NAMES["videos_are_where_they_should_be"]),
    (cut_a_video, NAMES["videos_are_where_they_should_be"]),
    (lose_a_video, NAMES["videos_are_where_they_should_be"]),
    (lose_a_poster, NAMES["videos_are_where_they_should_be"]),
    (miscount_a_day, NAMES["days_add_up"]),
    (lose_a_picture, NAMES["input_images_are_in_storage"]),
]
# SQLite can lose a UNIQUE of a column only with the whole table.
ON_POSTGRES = [(use_an_id_twice, NAMES["upstream_ids_are_unique"]), (use_an_id_twice, STAND_G)]


EVERY = {invariant.name: invariant for invariant in (*OF_ACCOUNTS, *OF_GENERATIONS)}


def seen_by_the_clock(name: str) -> bool:
    """Whether the look of every few minutes sees it, where it looks for this at all."""
    return EVERY[name].whole or bool(EVERY[name].breaches(invariants.newest()))


@pytest.mark.long
def test_every_breach_is_found(world: None) -> None:
    """One world for all: each breach is planted in a savepoint, looked for, and rolled back.

    The command sees it, and so does the look of every few minutes.
    """
    overlooked = []
    for plant, name in [*(ON_POSTGRES if connection.vendor == "postgresql" else []), *BREACHES]:
        with transaction.atomic():
            plant()
            status, lines = verify()
            seen = seen_by_the_clock(name)
            transaction.set_rollback(True)
        mend_what_no_transaction_takes_back()
        if (
            status != 1
            or not seen
            or f"ok {name}" in lines
            or not any(x.startswith(f"BREACH {name}: ") for x in lines)
        ):
            overlooked.append((plant.__name__, name))
    assert overlooked == []


def test_a_lost_file_is_named(world: None) -> None:
    lose_a_video()
    lines = verify()[1]
    assert any(line.endswith(f"{succeeded().video.file.name} is missing") for line in lines)


def test_many_breaches_are_counted_and_not_all_listed(alice: User) -> None:
    wallet = quotas.balance(alice.quotas.get()).wallet
    for _ in range(30):
        ledger.reserve([wallet.pk], 1, generation_id=uuid.uuid4())
    lines = [line for line in verify()[1] if line.startswith("BREACH no credits are held")]
    assert len(lines) == 21 and lines[-1].endswith("and 10 more")


# --- the look of every few minutes ----------------------------------------------------------


def test_a_breach_rings_and_is_not_mended(world: None) -> None:
    mint()
    assert upkeep.verify() > 0
    alarm = Alarm.objects.filter(kind=Alarm.Kind.BREACH).earliest("pk")
    assert alarm.text.startswith(f"{NAMES['wallets_equal_their_journal']}: wallet ")
    assert verify()[0] == 1


def test_a_sound_platform_rings_for_nothing(world: None) -> None:
    assert upkeep.verify() == 0
    assert not Alarm.objects.filter(kind=Alarm.Kind.BREACH).exists()


def test_the_parts_are_all_of_history_and_each_is_seen_once(world: None) -> None:
    scopes = [invariants.part(number) for number in range(invariants.PARTS)]
    seen = [pk for scope in scopes for pk in Generation.objects.filter(scope.generations).values_list("pk")]
    assert sorted(seen) == sorted(Generation.objects.values_list("pk"))
    wallets = [pk for scope in scopes for pk in scope.of_wallets.values_list("pk")]
    assert sorted(wallets) == sorted(Wallet.objects.values_list("pk"))


def test_an_old_breach_is_found_when_its_part_has_its_turn(
    world: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(invariants, "NEWEST", 0)
    forget_a_history()
    lost = Generation.objects.get(events=None)
    turn = uuid.UUID(str(lost.pk)).int >> 120
    for number, breached in ((turn, 1), (turn + 1, 0)):
        monkeypatch.setattr(upkeep.time, "time", lambda number=number: (number + 256) * 300.0)
        assert (upkeep.verify() > 0) == bool(breached)
