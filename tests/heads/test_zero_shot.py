import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from moclip.base.errors import StoreError
from moclip.heads.fitted import ClassTexts, Videos
from moclip.heads.zero_shot import fit, zero_shot_logits
from tests.support.streams import split_of, two_streams

SEED = (0, "zero_shot", 1)


def test_logit_is_the_scaled_cosine():
    images = np.array([[3.0, 4.0], [0.0, -2.0]])
    np.testing.assert_allclose(zero_shot_logits(images, np.eye(2), 100.0), [[60, 80], [0, -100]])


@given(st.integers(0, 1000), st.floats(0.01, 100))
def test_length_of_an_image_feature_does_not_matter(seed, factor):
    rng = np.random.default_rng(seed)
    images, classes = rng.normal(size=(3, 8)), rng.normal(size=(5, 8))
    classes /= np.linalg.norm(classes, axis=1, keepdims=True)
    logits = zero_shot_logits(images, classes, 10.0)
    assert logits.shape == (3, 5)
    assert (np.abs(logits) <= 10 + 1e-9).all()
    np.testing.assert_allclose(zero_shot_logits(factor * images, classes, 10.0), logits)


def test_head_is_the_texts_alone():
    texts = ClassTexts(np.eye(4, dtype=np.float32), 50.0)
    images = two_streams()["clip"].values
    head = fit(Videos(split_of(), two_streams(), texts), None, SEED)
    np.testing.assert_array_equal(head.logits({"clip": images}), zero_shot_logits(images, texts.features, 50.0))


def test_features_without_texts_are_refused():
    message = "zero_shot needs text features .* clip.precomputed lacks the arrays 'class' and 'text'; .* out of `heads`"
    with pytest.raises(StoreError, match=message):
        fit(Videos(split_of(), two_streams()), None, SEED)
