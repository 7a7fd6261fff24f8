"""Every text that a person may see has its Chinese, with the same places for values."""

from __future__ import annotations

import re

import pytest

from tests import messages

# What the Chinese calls otherwise here: one voice, one word for each thing.
NOT_OURS = {
    "您": "你",
    "额度": "配额",
    "冻结": "预扣",
    "预留": "预扣",
    "扣费": "扣点",
    "退还": "退回",
    "退款": "退回",
    "存疑": "待确认",
    "共享": "分享",
    "账号": "账户",
    "登出": "退出登录",
    "档位": "模式",
    "离职": "离开",
    "应答": "答复",
    "编号": "id",
    "就绪": "完成",
    "生成中": "制作中",
    "电子邮": "邮箱，邮件",
    "可灵": "Kling",
    "上游": "网关",
}
PLACES = re.compile(r"%\(\w+\)[-+.\d]*[sdf]|%[sdf]")


def test_the_marked_texts_are_exactly_the_translated_ones() -> None:
    kept = {messages.Message(_first(entry.id), _plural(entry.id), entry.context or "") for entry in entries()}
    marked = set(messages.marked())
    assert marked - kept == set(), "run python -m tests.messages, then translate the new entries"
    assert kept - marked == set(), "run python -m tests.messages: these are marked nowhere"


def test_every_text_is_translated() -> None:
    assert [entry.id for entry in entries() if entry.fuzzy or not all(_texts(entry.string))] == []


def test_a_translation_has_the_places_of_its_text() -> None:
    for entry in entries():
        for text in _texts(entry.string):
            assert sorted(PLACES.findall(text)) == sorted(PLACES.findall(_first(entry.id))), entry.id


def test_chinese_is_written_with_chinese_marks() -> None:
    for entry in entries():
        for text in _texts(entry.string):
            assert not re.search(r"[\u4e00-\u9fff][,;:?!]|[,;:?!][\u4e00-\u9fff]", text), text


def test_chinese_has_one_voice_and_one_word_for_each_thing() -> None:
    texts = [text for entry in entries() for text in _texts(entry.string)]
    assert [(text, ours) for text in texts for word, ours in NOT_OURS.items() if word in text] == []


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ('{% load i18n %}{% trans "Sign in" %}', messages.Message("Sign in")),
        ('{% load i18n %}{% trans "j F" context "a date" %}', messages.Message("j F", context="a date")),
        (
            "{% load i18n %}{% blocktrans with a=b %}{{ a }} left{% endblocktrans %}",
            messages.Message("%(a)s left"),
        ),
        ("{{ x|default:_('It\\'s (nothing)') }}", messages.Message("It's (nothing)")),
    ],
)
def test_a_mark_in_a_template_is_seen(source: str, found: messages.Message) -> None:
    assert messages.in_template(source) == {found}


def test_a_mark_around_a_computed_text_is_a_mistake() -> None:
    with pytest.raises(AssertionError, match="plain string"):
        messages.in_python('_(f"{name} left")')


def entries() -> list:
    return [entry for entry in messages.catalog() if entry.id]


def _texts(string: object) -> list[str]:
    return [string] if isinstance(string, str) else list(string)  # type: ignore[call-overload]


def _first(id: object) -> str:
    return id if isinstance(id, str) else id[0]  # type: ignore[index]


def _plural(id: object) -> str:
    return "" if isinstance(id, str) else id[1]  # type: ignore[index]
