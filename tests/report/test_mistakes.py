"""The videos that a head rescues, loses or gets wrong: as a page in a real browser, and as FiftyOne's samples."""

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from moclip.base.errors import DataError
from moclip.base.files import read_json
from moclip.cli.main import main
from moclip.report.contact_sheet import Tile
from moclip.report.reader.mistakes import KINDS, Case, cases, first_of_each, page
from moclip.results.predictions import Predictions, read_predictions
from tests.graph.test_pipeline import Repository
from tests.motion.test_draw import uniform

CLASSES = np.array(["Jump", "Run", "<b>Swim"])
TITLES = {"fusion": "fusion", "clip_probe": "CLIP probe"}


def said(*likeliest: tuple[int, float]) -> Predictions:
    """Videos v0, v1 and so on, of class 0; of each the class that is said first, and by how much."""
    logits = np.zeros((len(likeliest), 3), np.float32)
    for row, (label, by) in enumerate(likeliest):
        logits[row, label] = by
    ids = np.array([f"v{row}" for row in range(len(likeliest))])
    return Predictions(ids, np.zeros(len(ids), np.int64), logits, CLASSES, ids)


def test_each_video_has_its_kind_and_the_surest_answer_comes_first() -> None:
    fusion = said((0, 9.0), (0, 1.0), (0, 3.0), (1, 2.0), (2, 5.0), (1, 4.0))
    probe = said((0, 1.0), (1, 1.0), (2, 1.0), (0, 1.0), (1, 1.0), (2, 1.0))
    found = cases({"fusion": fusion, "clip_probe": probe}, "fusion", "clip_probe")
    assert [(case.id, case.kind) for case in found] == [
        ("v2", "rescued"), ("v1", "rescued"), ("v3", "lost"), ("v4", "both"), ("v5", "both")
    ]  # fmt: skip
    first = found[0].answers["fusion"]
    assert [name for name, _ in first] == ["Jump", "Run", "<b>Swim"]
    assert first[0][1] == pytest.approx(np.exp(3) / (np.exp(3) + 2))
    assert [case.id for case in first_of_each(found, 1)] == ["v2", "v3", "v4"]


def test_videos_are_held_together_by_id_and_others_are_refused() -> None:
    fusion, probe = said((0, 1.0), (1, 1.0)), said((0, 1.0), (0, 1.0))
    turned = Predictions(*(getattr(probe, name)[::-1] for name in ("ids", "labels", "logits")), CLASSES, probe.groups)
    (one,) = cases({"fusion": fusion, "clip_probe": turned}, "fusion", "clip_probe")
    assert (one.id, one.kind) == ("v1", "lost")
    for other in (replace(probe, ids=np.array(["v0", "v9"])), replace(probe, labels=np.array([0, 1]))):
        with pytest.raises(DataError, match="clip_probe was tested on other videos"):
            cases({"fusion": fusion, "clip_probe": other}, "fusion", "clip_probe")


def test_page_shows_pictures_and_no_name_becomes_markup(tmp_path: Path) -> None:
    if not shutil.which("chromium") or not shutil.which("chromedriver"):
        pytest.skip("needs chromium and chromedriver (Debian: chromium, chromium-driver), which are not installed")
    pytest.importorskip("selenium")
    from tools import pictures

    answers = {head: [("<b>Swim", 0.7), ("Jump", 0.2), ("Run", 0.1)] for head in TITLES}
    found = [Case(f"<i>{n}", "Jump", "both", answers) for n in range(3)]
    tile = Tile("", np.full((30, 40, 3), 90, np.uint8), uniform(4.0, 0), cell_px=16, width_px=40, height_px=30)
    text = page(found, {"<i>0": tile, "<i>1": tile}, TITLES, "fusion", "clip_probe", "demo, split 1")
    (tmp_path / "e.html").write_text(text)
    with pictures.browser() as driver:
        driver.get((tmp_path / "e.html").as_uri())
        assert driver.title == "Errors: demo, split 1"
        assert [h.text for h in driver.find_elements("css selector", "h2")] == [
            "Fusion right, where CLIP probe is wrong: 0 videos",
            "Fusion wrong, where CLIP probe is right: 0 videos",
            "Fusion wrong, as CLIP probe is: 3 videos, the surest 2 shown",
        ]
        assert driver.find_element("css selector", "figcaption").text == "Jump <i>0"
        assert "<b>Swim 70 % Jump 20 % Run 10 %" in driver.find_element("css selector", "tr").text
        widths = driver.execute_script("return [...document.images].map(image => image.naturalWidth)")
        assert len(widths) == 4
        assert min(widths) == 40


def test_command_writes_the_page_and_the_samples_of_a_finished_run(
    finished: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(finished.path)
    out, folder = tmp_path / "errors.html", tmp_path / "samples"
    words = ["report", "--errors", str(out), "--fiftyone", str(folder), "--most", "2", "--head", "motion_only"]
    assert main([*words, "--over", "zero_shot"]) == 0, capsys.readouterr().err
    motion, zero_shot = (read_predictions(Path(f"preds/{head}/split1.npz")) for head in ("motion_only", "zero_shot"))
    right = [dict(zip(p.ids, p.logits.argmax(1) == p.labels, strict=True)) for p in (motion, zero_shot)]
    expected = {
        video: next(
            kind for kind in KINDS if kind == ("rescued" if right[0][video] else "lost" if right[1][video] else "both")
        )
        for video in motion.ids
        if not (right[0][video] and right[1][video])
    }
    counts = [list(expected.values()).count(kind) for kind in ("rescued", "lost", "both")]
    told = "motion_only over zero_shot, split 1: {} rescued, {} lost, {} wrong in both".format(*counts)
    assert told in capsys.readouterr().out
    samples = read_json(folder / "samples.json")["samples"]
    assert {Path(one["filepath"]).stem: one["tags"][0] for one in samples} == expected
    assert all(Path(one["filepath"]).is_file() for one in samples)
    assert {"zero_shot", "motion_only", "fusion"} <= samples[0].keys()
    assert samples[0]["motion_only"]["label"] in motion.classes
    text = out.read_text()
    shown = sum(min(2, list(expected.values()).count(kind)) for kind in KINDS)
    assert text.count("<figure>") == shown
    assert len(re.findall('src="data:image/jpeg;base64,', text)) == 2 * shown
    assert main([*words, "--over", "zero_shot"]) == 0, "its own files are replaced"
    (folder / "samples.json").write_text(json.dumps({"samples": []}))
    assert main([*words, "--over", "zero_shot"]) == 1
    assert read_json(folder / "samples.json") == {"samples": []}
    assert main(["report", "--errors", str(out), "--over", "nothing"]) == 1
    assert "no head 'nothing'; there are" in capsys.readouterr().err
    assert main(["report", "--errors", str(out), "--split", "9"]) == 1
    assert "preds/fusion/split9.npz" in capsys.readouterr().err
