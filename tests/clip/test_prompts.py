from pathlib import Path

import pytest

from moclip.base.errors import ParamsError
from moclip.clip.encoder import Encoder
from moclip.clip.prompts import Prompts, check_apart, check_classes, check_lengths, read_prompts, words
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
    assert sizes == {"mteb": 1, "name": 1, "demo": 3, "paper12": 12, "large": 40}
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


@pytest.mark.parametrize(
    ("phrases", "message"),
    [
        ("YoYo: []", "class 'YoYo' has an empty list"),
        ("YoYo: ['']", "class 'YoYo' has an empty phrase"),
        ("YoYo: ['  ']", "class 'YoYo' has an empty phrase"),
        ("YoYo: [a toy, a toy]", "phrase 'a toy' of class 'YoYo' may stand here once"),
        ("YoYo: [a toy, A  Toy]", "phrase 'A  Toy' of class 'YoYo' may stand here once"),
        ("YoYo: [a toy]\n  Ball: [a toy]", "phrase 'a toy' of classes 'YoYo' and 'Ball' may stand here once"),
        ("YoYo: [null]", "YoYo"),
    ],
)
def test_phrases_that_say_nothing_or_the_same_are_refused_by_name(tmp_path, phrases, message):
    (tmp_path / "p.yaml").write_text(f"phrases:\n  {phrases}\n")
    (tmp_path / "t.yaml").write_text("templates: ['{}.']\n")
    with pytest.raises(ParamsError, match=message):
        read_prompts(tmp_path / "p.yaml", tmp_path / "t.yaml")


def test_phrase_under_a_mistyped_class_is_refused_and_a_file_of_more_classes_is_not():
    place = Path("prompts/own.yaml")
    with pytest.raises(ParamsError, match=r"prompts/own\.yaml: has phrases of 'YooYo', .* and none of 'YoYo'"):
        check_classes(Prompts(["{}"], {"YooYo": ["a toy"], "Ball": ["a ball"]}), ["Ball", "Kite", "YoYo"], place)
    check_classes(Prompts(["{}"], UCF101), ["Archery", "YoYo"], place)
    check_classes(Prompts(["{}"], {}), ["Archery", "YoYo"], place)


def test_prompts_that_are_cut_are_named_and_those_that_become_one_refused(caplog):
    import open_clip

    by_class = {"YoYo": ["a toy", "a toy on a string that goes up and down"], "Kite": ["a toy on a string in the wind"]}
    texts = [text for of_class in by_class.values() for text in of_class]
    tokenizer = open_clip.SimpleTokenizer(context_length=7)
    encoder = Encoder(None, None, tokenizer, 1.0)  # type: ignore[arg-type]
    needed, read = encoder.tokens(texts)
    assert needed == [4, 12, 10]
    check_lengths(by_class, needed, 7, Path("own.yaml"))
    assert "own.yaml: class YoYo: the prompt 'a toy on a string that goes up and down' has 12 tokens" in caplog.text
    assert "class Kite" in caplog.text
    assert "'a toy'" not in caplog.text
    with pytest.raises(
        ParamsError, match=r"'a toy on a string that .*' of class YoYo and 'a toy on a .*' of class Kite as"
    ):
        check_apart(by_class, read, Path("own.yaml"))
    check_apart({"YoYo": ["a toy"]}, read[:1], Path("own.yaml"))
