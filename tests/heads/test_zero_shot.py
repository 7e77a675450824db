import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from moclip.heads.zero_shot import zero_shot_logits


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
