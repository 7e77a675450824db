from pathlib import Path

import pytest

from moclip.base.errors import ParamsError
from moclip.clip.prompts import Prompts, read_prompts, words
from moclip.data.lists import read_class_index
from moclip.data.ucf101 import UCF101_CLASSES

ROOT = Path(__file__).parents[2]
UCF101 = read_prompts(ROOT / "prompts/ucf101.yaml", ROOT / "prompts/templates/name.yaml").phrases


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


def test_phrases_and_templates_are_two_files(tmp_path):
    phrases, templates = tmp_path / "p.yaml", tmp_path / "t.yaml"
    phrases.write_text("phrases:\n  YoYo: [a yo-yo]\n")
    templates.write_text('templates: ["{}.", "this is {}."]\n')
    assert read_prompts(phrases, templates).of("YoYo") == ["a yo-yo.", "this is a yo-yo."]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("t", "templates: [a photo]\n", r"template 'a photo' must hold \{\} once"),
        ("t", 'templates: ["{} and {}"]\n', r"must hold \{\} once"),
        ("t", 'templates: ["{}.", "{}."]\n', r"template '\{\}\.' may stand here once"),
        ("t", "templates: []\n", "at least 1 item"),
        ("t", 'templates: ["{}"]\nphrases: {}\n', "phrases"),
        ("p", 'templates: ["{}"]\n', "phrases"),
        ("p", "phrases: {}\nextra: 1\n", "extra"),
        ("p", "phrases: {YoYo: a yo-yo}\n", "YoYo"),
        ("t", "templates: [", "not a file of prompts"),
        ("p", "", "not a file of prompts"),
        ("t", None, "No such file"),
    ],
)
def test_files_that_break_the_form_are_refused(tmp_path, name, text, message):
    paths = {"p": tmp_path / "p.yaml", "t": tmp_path / "t.yaml"}
    paths["p"].write_text("phrases: {}\n")
    paths["t"].write_text('templates: ["{}"]\n')
    if text is None:
        paths[name].unlink()
    else:
        paths[name].write_text(text)
    with pytest.raises(ParamsError, match=rf"(?s){name}\.yaml: not a file of prompts.*{message}|{message}"):
        read_prompts(paths["p"], paths["t"])


PHRASES = [*sorted(ROOT.glob("prompts/*.yaml")), ROOT / "moclip/demo/prompts.yaml"]
TEMPLATES = {path.stem: path for path in ROOT.glob("prompts/templates/*.yaml")}


@pytest.mark.parametrize("templates", TEMPLATES.values(), ids=lambda p: p.stem)
@pytest.mark.parametrize("phrases", PHRASES, ids=lambda p: p.stem)
def test_every_set_of_templates_goes_with_every_file_of_phrases(phrases, templates):
    prompts = read_prompts(phrases, templates)
    for name in [*prompts.phrases, "AnyOther"]:
        texts = prompts.of(name)
        assert len(set(texts)) == len(texts) == len(prompts.templates) * len(prompts.phrases.get(name, [name]))
        assert all(text.strip() and "{" not in text for text in texts)


def test_sets_of_templates_have_their_sizes():
    sizes = {name: len(read_prompts(PHRASES[0], path).templates) for name, path in TEMPLATES.items()}
    assert sizes == {"name": 1, "demo": 3, "paper12": 12, "large": 40}
    bare = read_prompts(ROOT / "prompts/names.yaml", TEMPLATES["name"])
    assert bare.of("YoYo") == ["yo yo"]


def test_ucf101_phrases_cover_its_classes_and_fit_the_templates(real_ucf101):
    classes = read_class_index(real_ucf101 / "ucfTrainTestlist" / "classInd.txt")
    assert list(UCF101) == classes


def test_ucf101_phrases_say_what_somebody_does():
    """101 of them with one or two phrases, none twice; each begins with an -ing form, as `a person {}` needs."""
    assert len(UCF101) == UCF101_CLASSES
    assert {len(phrases) for phrases in UCF101.values()} == {1, 2}
    every = [phrase for phrases in UCF101.values() for phrase in phrases]
    assert len(set(every)) == len(every)
    assert [phrase for phrase in every if not phrase.split()[0].endswith("ing")] == []
