"""What CLIP costs: of the models that open_clip knows, and of no other."""

from moclip.clip.cost import clip_cost


def test_a_model_that_nobody_knows_has_no_cost() -> None:
    assert clip_cost("Mine") is None
    assert clip_cost("ViT-B-32-quickgelu") is not None
