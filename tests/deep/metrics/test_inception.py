import hashlib
import os

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn.functional import interpolate

from deep.metrics.inception import (
    INCEPTION_HASH,
    Inception,
    InceptionError,
    load_inception,
    resize,
    to_rgb,
)
from tests.conftest import FIXTURES

RULES = ("tensorflow", "half-pixel")


@pytest.fixture(scope="module")
def published():
    with np.load(FIXTURES / "inception_check.npz") as file:
        return {name: torch.from_numpy(file[name]) for name in file.files}


def empty():
    """The network's names and shapes, on the meta device."""
    with torch.device("meta"):
        return Inception()


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """A state dict in the format of the public file, with the made-up weights of the fixture."""
    state = empty().state_dict()
    units = [name.removesuffix(".conv.weight") for name in state if name.endswith(".conv.weight")]
    for i, unit in enumerate(units):
        shape = state[f"{unit}.conv.weight"].shape
        old = np.random.RandomState
        weight = old(1000 + i).standard_normal(shape) * np.sqrt(2 / np.prod(shape[1:]))
        state[f"{unit}.conv.weight"] = torch.from_numpy(weight.astype(np.float32))
        state[f"{unit}.bn.bias"] = torch.from_numpy(
            (old(5000 + i).standard_normal(shape[0]) * 0.1).astype(np.float32)
        )
        state[f"{unit}.bn.weight"] = state[f"{unit}.bn.running_var"] = torch.ones(shape[0])
        state[f"{unit}.bn.running_mean"] = torch.zeros(shape[0])
        state[f"{unit}.bn.num_batches_tracked"] = torch.tensor(0)
    state["fc.weight"], state["fc.bias"] = torch.zeros(1008, 2048), torch.zeros(1008)
    path = tmp_path_factory.mktemp("inception") / "made-up.pth"
    torch.save(state, path)
    return path


def hollow():
    """A state dict of the right names, shapes and types."""
    return {name: torch.zeros(x.shape, dtype=x.dtype) for name, x in empty().state_dict().items()}


def test_counts_of_the_published_network():
    state = empty().state_dict()
    assert len(state) == 566
    assert sum(name.endswith(".conv.weight") for name in state) == 94
    assert sum(parameter.numel() for parameter in empty().parameters()) == 23_850_960


@pytest.mark.parametrize("rule", RULES)
def test_features_of_the_published_networks(published, weights, rule):
    network, sha256 = load_inception(weights, rule)
    assert sha256 == hashlib.sha256(weights.read_bytes()).hexdigest()
    assert not sha256.startswith(INCEPTION_HASH)
    with torch.inference_mode():
        features = network(published["images"])
    expected = published[f"features_{'tf' if rule == 'tensorflow' else 'half_pixel'}_resize"]
    assert features.dtype == torch.float32
    # float32 through 48 layers; the two rules differ by a thousand times as much (next test)
    np.testing.assert_allclose(features, expected, rtol=0, atol=1e-5 * float(expected.abs().max()))


def test_the_two_rules_are_told_apart(published):
    """Negative control of the test above."""
    tf, half = published["features_tf_resize"], published["features_half_pixel_resize"]
    assert (tf - half).abs().max() > 1e-2 * tf.abs().max()


@pytest.mark.parametrize("rule", RULES)
def test_published_resizing(published, rule):
    resized = resize(published["images"].float(), 37, rule)
    expected = published["tf_resized_37" if rule == "tensorflow" else "half_pixel_resized_37"]
    np.testing.assert_allclose(resized, expected, rtol=0, atol=1e-6 * 255)


@given(
    seed=st.integers(0, 2**32 - 1),
    shape=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    side=st.integers(1, 40),
)
def test_half_pixel_centres_as_pytorch_has_them(seed, shape, side):
    x = torch.rand(2, 3, *shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    expected = interpolate(x, (side, side), mode="bilinear", align_corners=False)
    np.testing.assert_allclose(resize(x, side, "half-pixel"), expected, atol=1e-12)


@given(size=st.integers(2, 40), side=st.integers(1, 40))
def test_the_rule_of_tensorflow_samples_a_ramp_at_multiples_of_the_ratio(size, side):
    ramp = torch.arange(size, dtype=torch.float64).expand(1, 1, size, size)
    expected = (torch.arange(side, dtype=torch.float64) * size / side).clamp(max=size - 1)
    np.testing.assert_allclose(resize(ramp, side, "tensorflow")[0, 0, 0], expected, atol=1e-12)


def test_grey_images_count_as_rgb_with_equal_channels(published):
    grey = published["images"][:, :1]
    assert torch.equal(to_rgb(grey), grey.repeat(1, 3, 1, 1))
    assert torch.equal(to_rgb(published["images"]), published["images"])
    for wrong in (grey.float(), grey[0], published["images"][:, :2]):
        with pytest.raises(ValueError, match=r"images must be uint8 \(b, 1 or 3, h, w\), got"):
            to_rgb(wrong)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda s: s.pop("Mixed_6c.branch_pool.bn.bias"),
            "lacks the tensor Mixed_6c.branch_pool.bn.bias",
        ),
        (
            lambda s: s.update(AuxLogits=torch.zeros(1)),
            "it has AuxLogits, which that network does not have",
        ),
        (
            lambda s: s.update({"fc.weight": torch.zeros(1000, 2048)}),
            r"fc.weight must be torch.float32 \(1008, 2048\), got torch.float32 \(1000, 2048\)",
        ),
        (
            lambda s: s.update({"fc.bias": torch.zeros(1008, dtype=torch.float64)}),
            r"fc.bias must be torch.float32 \(1008,\), got torch.float64",
        ),
        (lambda s: s.update({"fc.bias": "text"}), "fc.bias must be .* got str"),
    ],
)
def test_a_state_dict_of_another_network_is_refused(tmp_path, change, message):
    state = hollow()
    change(state)
    torch.save(state, tmp_path / "wrong.pth")
    with pytest.raises(InceptionError, match=f"wrong.pth is not the FID Inception: .*{message}"):
        load_inception(tmp_path / "wrong.pth")


class Bomb:
    def __reduce__(self):
        return os.mkdir, ("exploded",)


def test_files_that_are_no_state_dict(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "file.pth"
    torch.save([1, 2], path)
    with pytest.raises(InceptionError, match="holds a list, not a state dict"):
        load_inception(path)
    for content in (b"", b"not a file of PyTorch's"):
        path.write_bytes(content)
        with pytest.raises(InceptionError, match="is not a PyTorch state dict") as caught:
            load_inception(path)
        assert "\n" not in str(caught.value)
    torch.save({"a": Bomb()}, path)
    with pytest.raises(InceptionError, match="is not a PyTorch state dict"):
        load_inception(path)
    assert not (tmp_path / "exploded").exists()
    with pytest.raises(FileNotFoundError):
        load_inception(tmp_path / "missing.pth")


def test_weights_of_the_right_shapes_are_taken(tmp_path):
    """The accepted case, from which the refusals above differ."""
    torch.save(hollow(), tmp_path / "hollow.pth")
    network, _ = load_inception(tmp_path / "hollow.pth")
    assert not network.training
    assert not any(parameter.requires_grad for parameter in network.parameters())
