"""Fusion and its controls: the same MLP, each on its own streams."""

from types import ModuleType

import pytest

from moclip.heads import clip_probe, fusion, motion_permuted
from moclip.store.features import Features
from tests.support.streams import SEED, accuracy, params, two_streams, videos


def reached(module: ModuleType) -> float:
    return accuracy(module.fit(videos(), params(epochs=40), SEED), videos())


def test_foreign_motion_is_worth_nothing_and_costs_little():
    """Motion carries half of the class: permuted, what is left is what CLIP alone gives, at equal size."""
    clip_alone = reached(clip_probe)
    assert reached(fusion) > clip_alone + 0.25
    assert reached(motion_permuted) == pytest.approx(clip_alone, abs=0.2)


@pytest.mark.parametrize(
    ("inputs", "names"), [("both", ("clip", "motion")), ("clip", ("clip",)), ("motion", ("motion",))]
)
def test_inputs_are_those_of_fusion_and_its_controls_keep_theirs(inputs, names):
    settings = params(inputs=inputs, epochs=1)
    streams = {module: module.fit(videos(), settings, SEED).streams for module in (fusion, motion_permuted, clip_probe)}
    assert streams == {fusion: names, motion_permuted: ("clip", "motion"), clip_probe: ("clip",)}


def test_stream_that_no_head_of_these_knows_is_left_out():
    """A stage may hand out more than a head takes."""
    extra = Features("extra", two_streams()["clip"].ids, two_streams()["clip"].values)
    for module in (fusion, motion_permuted, clip_probe):
        given = videos({**two_streams(), "extra": extra})
        plain, found = (module.fit(one, params(epochs=2), SEED) for one in (videos(), given))
        assert found.streams == plain.streams
        assert [epoch["train_loss"] for epoch in found.history] == [epoch["train_loss"] for epoch in plain.history]
