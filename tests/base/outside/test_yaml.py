"""YAML that a stranger wrote ends as values or as one kind of error, and in little time."""

import time
from pathlib import Path

import pytest
from ruamel.yaml import YAMLError

from moclip.base.arithmetic import kernels_of
from moclip.base.outside import yaml
from moclip.base.outside.yaml import DEEPEST

DEEP = {
    "sequences": "[" * 10_000,
    "closed": "a: " + "[" * 10_000 + "]" * 10_000,
    "mappings": "{a: " * 5_000,
    "mixed": "[{a: " * 3_000,
    "behind apostrophes": "a: it's\nb: " + "[" * 10_000 + "\nc: it's",
    "dashes": "- " * 10_000,
    "questions": "? " * 10_000,
    "indents": "".join(" " * depth + "a:\n" for depth in range(1_000)),
}


@pytest.mark.parametrize("form", DEEP)
def test_deep_nesting_is_refused_at_once_by_every_reader(form: str, tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(DEEP[form])
    start = time.process_time()
    for source in (path, DEEP[form]):
        with pytest.raises(YAMLError):
            yaml.load(source)
    assert kernels_of(path) == "portable"  # by the library's other reader
    assert time.process_time() - start < 8  # 13 to 25 s for one reading of brackets without the bound


@pytest.mark.parametrize("form", ["'{}'", '"{}"', "|\n  {}", "1 # {}", "1 # it's {}"])
def test_brackets_of_a_text_or_a_comment_stand_inside_nothing(form: str) -> None:
    text = "[{" * 50_000
    found = yaml.load(f"a: {form.format(text)}\nb: [1]\n")
    assert found["b"] == [1]
    assert found["a"] == 1 or found["a"].strip() == text


def test_what_is_as_deep_as_allowed_is_read_in_each_encoding(tmp_path: Path) -> None:
    text = "a: " + "[" * DEEPEST + "]" * DEEPEST + "\nb: ':-] :-]'\nc: [1]\n"
    for encoding in ("utf-8", "utf-16"):
        (tmp_path / "a.yaml").write_text(text, encoding=encoding)
        assert yaml.load(tmp_path / "a.yaml")["c"] == [1]
    flat = "".join(f"k{number}: [{{a: 1}}]\n" for number in range(300))
    assert len(yaml.load(flat)) == 300, "brackets beside each other are not inside each other"
