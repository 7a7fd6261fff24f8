"""What people do to people: each change with its audit entry, or neither."""

from __future__ import annotations

import pytest
from django.db import IntegrityError, transaction

from accounts import services
from accounts.models import AuditEntry, Quota, Team, User
from kling_platform.errors import InvalidValue, WrongState

pytestmark = [pytest.mark.django_db, pytest.mark.sqlite]


def actions(user: User) -> list[str]:
    return list(
        AuditEntry.objects.filter(subject=user.username).order_by("at").values_list("action", flat=True)
    )


def test_role_and_staff_flag_go_together(alice: User, boss: User) -> None:
    services.set_role(alice, "admin", actor=boss)
    alice.refresh_from_db()
    assert (alice.is_staff, alice.is_superuser) == (True, True)
    services.set_role(alice, "manager", actor=boss)
    alice.refresh_from_db()
    assert (alice.role, alice.is_staff, alice.is_superuser) == ("manager", False, False)
    entry = AuditEntry.objects.filter(action="user.role").latest("at")
    assert (entry.actor, entry.detail) == (boss, {"before": "admin", "role": "manager"})


def test_the_database_refuses_staff_that_is_no_admin(alice: User) -> None:
    with pytest.raises(IntegrityError), transaction.atomic():
        User.objects.filter(pk=alice.pk).update(is_staff=True)


def test_the_same_role_again_is_no_change(alice: User, boss: User) -> None:
    before = AuditEntry.objects.count()
    services.set_role(alice, "member", actor=boss)
    assert AuditEntry.objects.count() == before


def test_a_role_is_one_of_four(alice: User, boss: User) -> None:
    with pytest.raises(InvalidValue, match="member, manager, finance and admin"):
        services.set_role(alice, "king", actor=boss)


def test_an_admin_cannot_lock_himself_out(boss: User) -> None:
    with pytest.raises(WrongState, match="suspend yourself"):
        services.set_active(boss, False, actor=boss)
    with pytest.raises(WrongState, match="Ask another admin"):
        services.set_role(boss, "member", actor=boss)
    boss.refresh_from_db()
    assert boss.is_active and boss.role == "admin"


def test_suspending_is_noted_once(alice: User, boss: User) -> None:
    services.set_active(alice, False, actor=boss)
    services.set_active(alice, False, actor=boss)
    services.set_active(alice, True, actor=boss)
    assert [a for a in actions(alice) if a != "quota.set"] == ["user.make", "user.suspend", "user.resume"]


def test_a_refused_change_leaves_no_audit(alice: User, boss: User) -> None:
    before = AuditEntry.objects.count()
    with pytest.raises(WrongState):
        services.set_quota(alice, credits=5, version=99, actor=boss)
    assert AuditEntry.objects.count() == before


def test_a_reason_is_kept_in_audit_and_journal(alice: User, boss: User) -> None:
    services.set_quota(alice, credits=1_200, reason="the trailer", actor=boss)
    line = alice.quotas.get().wallets.get().transfers.latest("seq")
    assert (line.reason, line.actor, line.amount) == ("the trailer", boss, 200)
    assert AuditEntry.objects.latest("at").detail["reason"] == "the trailer"


def test_a_team_and_a_key_may_have_a_quota(alice: User, boss: User) -> None:
    team, key = Team.objects.create(name="film"), services.make_key(alice, label="k")[0]
    services.set_quota(team, credits=10, actor=boss)
    services.set_quota(key, credits=20, period="day", actor=boss)
    assert [q.owner for q in Quota.objects.exclude(user__isnull=False).order_by("pk")] == [team, key]


def test_who_has_a_wallet_cannot_be_deleted(alice: User) -> None:
    """Suspend instead: what was spent stays to be seen."""
    from django.db.models import ProtectedError

    with pytest.raises(ProtectedError):
        alice.delete()


# --- provision ------------------------------------------------------------------------


def test_provisioning_twice_changes_nothing(db: None) -> None:
    words = {
        "password": "a-long-password",
        "role": "manager",
        "credits": 70,
        "period": "week",
        "email": "e@x.io",
    }
    eve = services.provision("eve", **words).user  # type: ignore[arg-type]
    before = (User.objects.values().get(pk=eve.pk), Quota.objects.values().get(), AuditEntry.objects.count())
    again = services.provision("eve", **words)  # type: ignore[arg-type]
    assert again.api_key is None
    after = (User.objects.values().get(pk=eve.pk), Quota.objects.values().get(), AuditEntry.objects.count())
    assert before == after


def test_provisioning_touches_only_what_is_named(alice: User) -> None:
    services.set_quotas(alice, {"day": 70, "month": 900})
    done = services.provision("alice", email="alice@example.com")
    assert (done.password, done.api_key) == (None, None)
    standing = Quota.objects.of(alice).standing().order_by("period")
    assert list(standing.values_list("period", "credits")) == [("day", 70), ("month", 900)]
    alice.refresh_from_db()
    assert alice.email == "alice@example.com" and alice.check_password("correct horse battery staple")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("", {}),
        ("has space", {}),
        ("x" * 151, {}),
        ("nul\x00", {}),
        ("eve", {"password": "12345"}),
        ("eve", {"email": "no address"}),
        ("eve", {"credits": -1}),
        ("eve", {"period": "year"}),
        ("eve", {"role": "king"}),
        ("eve", {"api_key": "x" * 101}),
    ],
)
def test_a_bad_word_makes_nobody(db: None, name: str, words: dict) -> None:  # type: ignore[type-arg]
    with pytest.raises(InvalidValue):
        services.provision(name, **words)
    assert not User.objects.exists()
