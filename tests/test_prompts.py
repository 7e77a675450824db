from pathlib import Path

import pytest

from moclip.errors import ParamsError
from moclip.prompts import Prompts, read_prompts, words

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize(
    ("name", "spoken"),
    [
        ("BoxingPunchingBag", "boxing punching bag"),
        ("YoYo", "yo yo"),
        ("Punch", "punch"),
        ("TaiChi", "tai chi"),
        ("TVShow", "tv show"),
        ("Sprint100m", "sprint 100 m"),
        ("playing_guitar", "playing guitar"),
        ("?", "?"),
        ("Größe", "größe"),
    ],
)
def test_class_name_in_words(name, spoken):
    assert words(name) == spoken


def test_every_template_with_every_phrase():
    prompts = Prompts(["{}.", "a photo of {}."], {"YoYo": ["a yo-yo", "a toy"], "Silent": []})
    assert prompts.of("YoYo") == ["a yo-yo.", "a photo of a yo-yo.", "a toy.", "a photo of a toy."]
    assert prompts.of("BenchPress") == ["bench press.", "a photo of bench press."]
    assert prompts.of("Silent") == ["silent.", "a photo of silent."]


def test_file_of_prompts(tmp_path):
    path = tmp_path / "p.yaml"
    path.write_text('templates: ["{}."]\nphrases:\n  YoYo: [a yo-yo]\n')
    assert read_prompts(path).of("YoYo") == ["a yo-yo."]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("templates: [a photo]\nphrases: {}\n", r"template 'a photo' must hold \{\} once"),
        ('templates: ["{} and {}"]\nphrases: {}\n', r"must hold \{\} once"),
        ("templates: []\nphrases: {}\n", "at least 1 item"),
        ('templates: ["{}"]\n', "phrases"),
        ('templates: ["{}"]\nphrases: {}\nextra: 1\n', "extra"),
        ('templates: ["{}"]\nphrases: {YoYo: a yo-yo}\n', "YoYo"),
        ("templates: [", "not a file of prompts"),
        ("", "not a file of prompts"),
        (None, "No such file"),
    ],
)
def test_files_that_break_the_form_are_refused(tmp_path, text, message):
    path = tmp_path / "p.yaml"
    if text is not None:
        path.write_text(text)
    with pytest.raises(ParamsError, match=rf"(?s)p\.yaml: not a file of prompts.*{message}|{message}"):
        read_prompts(path)


@pytest.mark.parametrize(
    "path", [*ROOT.glob("prompts/*.yaml"), ROOT / "moclip/demo/prompts.yaml"], ids=lambda p: p.name
)
def test_files_of_the_project_are_valid(path):
    prompts = read_prompts(path)
    assert all(prompts.of(name) for name in [*prompts.phrases, "AnyOther"])
