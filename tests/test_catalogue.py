"""The catalogue's rules: what can be asked for, what it costs, and how a refusal names the way out."""

from __future__ import annotations

import pytest

from generations import catalogue
from kling_platform.errors import InvalidValue

URL = "https://example.com/a.jpg"


def ask(**fields):
    return catalogue.validate({"model": "kling-v2-6", "prompt": "一只小猫", **fields}, catalogue.BUILT_IN)


@pytest.mark.parametrize(
    ("model", "metadata", "seconds", "credits"),
    [
        ("kling-v2-5-turbo-std", {}, 5, 15),
        ("kling-v2-5-turbo-std", {}, 10, 30),
        ("kling-v2-5-turbo-pro", {}, 5, 25),
        ("kling-v2-5-turbo-pro", {}, 10, 50),
        ("kling-v2-6", {}, 5, 15),
        ("kling-v2-6", {"mode": "pro"}, 10, 50),
        ("kling-v2-6", {"sound": "on"}, 5, 50),
        ("kling-v2-6", {"sound": "on", "mode": "pro"}, 10, 100),
        ("kling-v2-6", {"sound": "off"}, 5, 15),
    ],
)
def test_prices_follow_the_effective_values(model, metadata, seconds, credits):
    assert (
        catalogue.price(ask(model=model, metadata=metadata, duration=seconds), catalogue.BUILT_IN) == credits
    )


def test_defaults_are_the_documents():
    recipe = ask()
    assert (recipe.seconds, recipe.size, recipe.mode, recipe.sound, recipe.images) == (
        5,
        "16:9",
        "std",
        False,
        (),
    )


@pytest.mark.parametrize("value", [5, "5", 10, "10"])
def test_duration_is_a_number_or_its_digits(value):
    assert ask(duration=value).seconds == int(value)


@pytest.mark.parametrize(
    ("value", "size"), [("16:9", "16:9"), ("1280x720", "16:9"), ("1080x1920", "9:16"), ("640X640", "1:1")]
)
def test_sizes_are_ratios_or_pixels_of_one(value, size):
    assert ask(size=value).size == size


def test_metadata_may_be_text_or_an_object():
    assert ask(metadata='{"negative_prompt": "blur"}') == ask(metadata={"negative_prompt": "blur"})


def test_a_last_frame_takes_pro_by_itself():
    assert ask(images=[URL, URL]).mode == "pro"
    assert ask(images=[URL], metadata={"image_tail": URL}).images == (URL, URL)


def test_image_is_the_first_of_images():
    assert ask(image=URL).images == (URL,)
    assert ask(image=URL, images=[URL]).images == (URL,)


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"model": "kling-v9"}, "model"),
        ({"model": None}, "model"),
        ({"model": ["kling-v2-6"]}, "model"),
        ({"prompt": ""}, "prompt"),
        ({"prompt": "  \n"}, "prompt"),
        ({"prompt": 5}, "prompt"),
        ({"prompt": "x" * 2501}, "prompt"),
        ({"prompt": "a\x00b"}, "prompt"),
        ({"prompt": "a\ud800b"}, "prompt"),
        ({"duration": 7}, "duration"),
        ({"duration": True}, "duration"),
        ({"duration": 5.0}, "duration"),
        ({"duration": "five"}, "duration"),
        ({"duration": "٥"}, "duration"),
        ({"duration": [5]}, "duration"),
        ({"size": "4:3"}, "size"),
        ({"size": "1280x721"}, "size"),
        ({"size": "0x0"}, "size"),
        ({"size": 16}, "size"),
        ({"n": 2}, "n"),
        ({"metadata": "[1]"}, "metadata"),
        ({"metadata": "{"}, "metadata"),
        ({"metadata": 5}, "metadata"),
        ({"metadata": "[" * 400_000}, "metadata"),
        ({"metadata": {"duration": 10}}, "metadata.duration"),
        ({"metadata": {"aspect_ratio": "1:1"}}, "metadata.aspect_ratio"),
        ({"metadata": {"n": 2}}, "metadata.n"),
        ({"metadata": {"mode": "master"}}, "metadata.mode"),
        ({"metadata": {"mode": 1}}, "metadata.mode"),
        ({"metadata": {"sound": True}}, "metadata.sound"),
        ({"metadata": {"cfg_scale": 2}}, "metadata.cfg_scale"),
        ({"metadata": {"cfg_scale": True}}, "metadata.cfg_scale"),
        ({"metadata": {"negative_prompt": 5}}, "metadata.negative_prompt"),
        ({"metadata": {"image_tail": URL}}, "metadata.image_tail"),
        ({"images": "x"}, "images"),
        ({"images": [1]}, "images"),
        ({"images": [""]}, "images"),
        ({"images": [URL] * 3}, "images"),
        ({"images": [URL, URL], "metadata": {"mode": "std"}}, "images"),
        ({"model": "kling-v2-5-turbo-std", "images": [URL, URL]}, "images"),
        ({"model": "kling-v2-5-turbo-std", "metadata": {"sound": "on"}}, "metadata.sound"),
        ({"model": "kling-v2-5-turbo-std", "metadata": {"mode": "pro"}}, "metadata.mode"),
        ({"metadata": {"sound": "on", "mode": "std"}}, "metadata.sound"),
        ({"images": [URL, URL], "metadata": {"sound": "on"}}, "metadata.sound"),
        ({"image": URL, "images": [URL + "x"]}, "image"),
        ({"image": 5}, "image"),
    ],
)
def test_a_refusal_names_its_field(fields, param):
    with pytest.raises(InvalidValue) as refusal:
        ask(**fields)
    assert refusal.value.param == param
    assert str(refusal.value)


def test_a_last_frame_without_pro_says_what_to_take():
    with pytest.raises(InvalidValue, match="kling-v2-5-turbo-pro"):
        ask(model="kling-v2-5-turbo-std", images=[URL, URL])


def test_every_model_of_the_rules_has_a_price_for_each_length_and_mode():
    for model in catalogue.BUILT_IN.models:
        for mode in model.modes:
            for seconds in model.seconds:
                assert (
                    catalogue.credits_for(
                        model.name, mode.name, seconds=seconds, sound=False, rules=catalogue.BUILT_IN
                    )
                    > 0
                )
