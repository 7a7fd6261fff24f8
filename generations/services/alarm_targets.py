"""Who hears of alarms besides the admins' mailboxes: rooms of chats and programs, named by admins.

Values come as they were typed and are judged here. The audit names the host of an address, never the address:
whoever knows it may write into the room.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable

from django.conf import settings
from django.db import transaction
from django.db.models import OuterRef, Prefetch, Subquery
from django.db.models.functions import Now
from django.utils.translation import gettext as _

from accounts.models import User
from accounts.services import audit
from generations.models import Alarm, AlarmDelivery, AlarmMessage, AlarmTarget
from generations.services.alarm_messages import give_up_alarms
from generations.services.operators import check_operator
from kling_platform import alarms, egress
from kling_platform.errors import InvalidValue, WrongState
from kling_platform.text import check_text

MOST_TARGETS = 20
MOST_NAME, MOST_SECRET = 60, 200
SIGNING = {AlarmTarget.Service.FEISHU, AlarmTarget.Service.DINGTALK, AlarmTarget.Service.WEBHOOK}
SHOWN_MESSAGES = 12


@transaction.atomic
def add_alarm_target(
    *,
    actor: User,
    name: str,
    service: str,
    url: str,
    secret: str = "",
    kinds: Iterable[str] = Alarm.Kind.values,
    language: str = "",
) -> AlarmTarget:
    """A new one; it hears of what rings from now on."""
    check_operator(actor)
    if AlarmTarget.objects.count() >= MOST_TARGETS:
        raise WrongState(
            _("There are %(most)d already, and more are not possible. Remove one first.")
            % {"most": MOST_TARGETS}
        )
    if service not in AlarmTarget.Service.values:
        raise InvalidValue(_("Choose one of the services."), param="service")
    target = AlarmTarget(service=service)
    _set(target, name=name, url=url, secret=secret, kinds=kinds, language=language)
    target.save()
    audit("alarm.target.add", target.name, actor=actor, **_told(target))
    return target


@transaction.atomic
def change_alarm_target(
    target: AlarmTarget,
    *,
    actor: User,
    name: str,
    url: str = "",
    secret: str = "",
    unsigned: bool = False,
    kinds: Iterable[str] = (),
    language: str = "",
) -> AlarmTarget:
    """Set what is given. An empty address or secret stays as it was; ``unsigned`` takes the secret away."""
    check_operator(actor)
    before = _told(target)
    _set(
        target,
        name=name,
        url=url or target.url,
        secret="" if unsigned else secret or target.secret,
        kinds=kinds,
        language=language,
    )
    target.save()
    audit("alarm.target.change", target.name, actor=actor, before=before, after=_told(target))
    return target


@transaction.atomic
def switch_alarm_target(target: AlarmTarget, *, actor: User, on: bool) -> None:
    """Tell it nothing, or tell it again: what rings meanwhile is not kept for it."""
    check_operator(actor)
    if AlarmTarget.objects.filter(pk=target.pk, is_on=not on).update(is_on=on):
        if not on:
            give_up_alarms([target])
        audit("alarm.target.on" if on else "alarm.target.off", target.name, actor=actor)


@transaction.atomic
def remove_alarm_target(target: AlarmTarget, *, actor: User) -> None:
    """Forget it, its address and its secret."""
    check_operator(actor)
    audit("alarm.target.remove", target.name, actor=actor, **_told(target))
    target.delete()


@transaction.atomic
def test_alarm_target(target: AlarmTarget, *, actor: User) -> AlarmDelivery:
    """Send a message that means nothing; what comes of it stands in the delivery. ``WrongState`` while it is off."""
    check_operator(actor)
    if not target.is_on:
        raise WrongState(_("It is switched off, so nothing was sent. Switch it on first."))
    message = AlarmMessage.objects.create(about=AlarmMessage.About.TEST)
    delivery = AlarmDelivery.objects.create(message=message, target=target, next_try_at=Now())
    alarms.wake()
    return delivery


def alarm_targets() -> list[tuple[AlarmTarget, AlarmDelivery | None]]:
    """All of them, each with the last that was sent to it."""
    newest = AlarmDelivery.objects.filter(target=OuterRef("pk")).order_by("-pk").values("pk")[:1]
    found = list(AlarmTarget.objects.annotate(last=Subquery(newest)).order_by("name", "pk"))
    ids = {target.pk: target.last for target in found}
    last = AlarmDelivery.objects.select_related("message").in_bulk([pk for pk in ids.values() if pk])
    return [(target, last.get(ids[target.pk])) for target in found]


def told_messages() -> list[AlarmMessage]:
    """What was told lately, the newest first, each with its deliveries and their targets."""
    rows = AlarmMessage.objects.exclude(about=AlarmMessage.About.TEST).order_by("-created_at", "-pk")
    deliveries = AlarmDelivery.objects.select_related("target").order_by("pk")
    return list(rows.prefetch_related(Prefetch("deliveries", deliveries))[:SHOWN_MESSAGES])


def _told(target: AlarmTarget) -> dict[str, object]:
    """What the audit may know."""
    host = target.url.split("/", 3)[2].rpartition("@")[2]
    return {
        "name": target.name,
        "service": target.service,
        "host": host,
        "signed": bool(target.secret),
        "kinds": target.kinds,
        "language": target.language,
    }


def _set(
    target: AlarmTarget, *, name: str, url: str, secret: str, kinds: Iterable[str], language: str
) -> None:
    target.name = check_text(name, param="name").strip()
    if not 0 < len(target.name) <= MOST_NAME or not target.name.isprintable():
        raise InvalidValue(_("A name is one line of up to 60 characters."), param="name")
    if not url.strip():
        raise InvalidValue(_("Give the address that is to be called, beginning with https://."), param="url")
    egress.check_target(url.strip())
    target.url = url.strip()
    target.secret = _checked_secret(target.service, secret.strip())
    chosen = set(kinds)
    target.kinds = [kind for kind in Alarm.Kind.values if kind in chosen]
    if not target.kinds or chosen - set(Alarm.Kind.values):
        raise InvalidValue(_("Choose at least one kind of alarms."), param="kinds")
    target.language = language or settings.LANGUAGE_CODE
    if target.language not in dict(settings.LANGUAGES):
        raise InvalidValue(_("Choose one of the languages."), param="language")


def _checked_secret(service: str, secret: str) -> str:
    if not secret:
        return ""
    if service not in SIGNING:
        raise InvalidValue(
            _("This service knows no signing secret: its address is the secret. Leave this empty."),
            param="secret",
        )
    if len(secret) > MOST_SECRET or not secret.isascii() or not secret.isprintable():
        raise InvalidValue(
            _("This is no signing secret. Copy it again from the robot's settings."), param="secret"
        )
    if service == AlarmTarget.Service.WEBHOOK and not _is_standard(secret):
        raise InvalidValue(
            _("A secret after Standard Webhooks is whsec_ and 24 to 64 bytes in base64."), param="secret"
        )
    return secret


def _is_standard(secret: str) -> bool:
    try:
        key = base64.b64decode(secret.removeprefix("whsec_"), validate=True)
    except binascii.Error:
        return False
    return secret.startswith("whsec_") and 24 <= len(key) <= 64
