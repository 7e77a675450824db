"""Multiply-adds against formulas."""

import torch
from torch import nn

from moclip.training.flops import multiply_adds


def test_attention_is_counted_and_the_switch_put_back() -> None:
    """Attention of n tokens of width d: 4 n d^2 for the projections and 2 n^2 d for the products."""
    attention = nn.TransformerEncoderLayer(8, 2, dim_feedforward=16, batch_first=True).eval()
    before = torch.backends.mha.get_fastpath_enabled()
    assert multiply_adds(lambda: attention(torch.zeros(1, 5, 8))) == 4 * 5 * 8**2 + 2 * 5**2 * 8 + 2 * 5 * 8 * 16
    assert torch.backends.mha.get_fastpath_enabled() == before
