"""Sections of the parameters for heads on frames: what is allowed, and what each refusal says."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moclip.base.errors import ParamsError
from moclip.params.frames import FramesParams
from moclip.params.heads.tokens import TokenParams, TrainedOnFrames
from moclip.params.section import validated
from tests.params.test_params import PARAMS

FRAMES: dict[str, Any] = PARAMS["frames"]
TOKENS: dict[str, Any] = PARAMS["tokens"]


def frames(**changes: Any) -> FramesParams:
    return validated("frames", FramesParams, {**FRAMES, **changes})


@given(st.integers(1, 64))
def test_rule_says_how_many_frames_are_looked_at(count):
    assert frames(rule=f"uniform:{count}", keep=None).count == count


@given(st.integers(1, 64), st.integers(1, 64))
def test_as_many_frames_as_there_are_can_be_kept_and_no_more(count, keep):
    if keep <= count:
        assert frames(rule=f"uniform:{count}", keep=keep).keep == keep
    else:
        with pytest.raises(
            ParamsError, match=rf"keep: {keep} of the {count} frames of rule uniform:{count}; keep fewer"
        ):
            frames(rule=f"uniform:{count}", keep=keep)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        *(
            ("rule", rule)
            for rule in ("middle", "uniform", "uniform:", "uniform:0", "uniform:65", "uniform:08", "every:1")
        ),
        *(("rule", rule) for rule in ("uniform:8\n", " uniform:8", "uniform:8,", "uniform:100")),
        *(("grid", value) for value in (0, 33, 1.5, None)),
        *(("path", value) for value in ("values", None)),
        *(("cut", value) for value in (0, 65, "1")),
        *(("select", value) for value in ("lowest", "random", None)),
        *(("keep", value) for value in (0, -1, 65)),
        *(("order", value) for value in ("reversed", None)),
    ],
)
def test_value_that_is_not_allowed_is_refused_by_name(key, value):
    with pytest.raises(ParamsError, match=rf"^parameter 'frames\.{key}'"):
        frames(**{key: value})


@pytest.mark.parametrize("key", FRAMES)
def test_missing_key_is_refused(key):
    with pytest.raises(ParamsError, match=rf"^parameter 'frames\.{key}': required, but missing$"):
        validated("frames", FramesParams, {name: value for name, value in FRAMES.items() if name != key})


def test_heads_of_attention_divide_the_width():
    assert validated("tokens", TokenParams, {**TOKENS, "width": 48, "heads": 6}).heads == 6
    with pytest.raises(ParamsError, match="heads: 5 do not divide width: 64"):
        validated("tokens", TokenParams, {**TOKENS, "width": 64, "heads": 5})


def test_every_head_on_frames_has_what_their_training_reads():
    assert issubclass(TokenParams, TrainedOnFrames)
    assert set(TrainedOnFrames.model_fields) == {"dropout", "epochs", "lr", "weight_decay", "batch_videos", "select"}
