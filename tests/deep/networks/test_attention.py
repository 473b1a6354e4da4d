import numpy as np
import torch
from scipy.special import softmax

from deep.networks.attention import attend, from_tokens, to_tokens


def test_attention_is_a_softmax_weighted_mean_of_values(rng):
    n, tokens, heads, c = 2, 5, 3, 4
    qkv = rng.standard_normal((n, tokens, heads, 3, c), dtype=np.float32)
    q, k, v = (qkv[:, :, :, i].transpose(0, 2, 1, 3) for i in range(3))  # (n, heads, tokens, c)
    expected = softmax(q @ k.transpose(0, 1, 3, 2) / np.sqrt(c), axis=-1) @ v
    got = attend(torch.from_numpy(qkv))
    np.testing.assert_allclose(
        got, expected.transpose(0, 2, 1, 3).reshape(n, tokens, heads * c), rtol=1e-5, atol=1e-6
    )


def test_tokens_are_the_pixels_row_by_row(rng):
    x = torch.from_numpy(rng.standard_normal((2, 3, 4, 5), dtype=np.float32))
    tokens = to_tokens(x)
    assert torch.equal(tokens[:, 5 * 2 + 3], x[:, :, 2, 3])
    assert torch.equal(from_tokens(tokens, like=x), x)
