import os
import warnings

import numpy as np
import pytest
import torch
from torch import nn

import deep.metrics.features
from deep.data import load_images
from deep.metrics.features import (
    FeatureSpace,
    cached_features,
    extract,
    inception_space,
    label_encoder_space,
    trusted_torchscript_space,
)
from deep.metrics.inception import Inception
from deep.metrics.label_encoder import EncoderTraining
from stability.runs.sealed import read_sealed_npz, write_sealed_npz

CPU = torch.device("cpu")
SHORT = EncoderTraining(steps=3, width=8, batch=16)


class Means(nn.Module):
    """The mean of each channel, times a weight."""

    def __init__(self, weight=1.0):
        super().__init__()
        self.register_buffer("weight", torch.tensor(weight))

    def forward(self, images):
        return images.float().mean((2, 3)) * self.weight


class Offers(nn.Module):
    """As NVIDIA's network: features if asked for, scores otherwise.

    TorchScript needs the annotations.
    """

    def forward(self, images: torch.Tensor, return_features: bool = False) -> torch.Tensor:
        means = images.float().mean((2, 3))
        return means if return_features else means.sum(1, keepdim=True)


@pytest.fixture
def images(rng):
    return rng.integers(0, 256, (21, 3, 4, 4)).astype(np.uint8)


def space(name="means", weight=1.0):
    return FeatureSpace(name, Means(weight).eval())


def scripted(module, path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.jit.save(torch.jit.script(module), path)
    return path


def test_features_do_not_depend_on_the_batch(images):
    done = []
    expected = images.mean((2, 3))
    for batch in (1, 4, 21, 50):
        np.testing.assert_allclose(
            extract(space(), images, CPU, batch=batch, on_batch=done.append), expected, rtol=1e-6
        )
    assert sum(done) == 4 * 21
    assert done[-6:-1] == [5, 1, 21, 21][:0] + done[-6:-1]


def test_names_of_distances():
    assert (space().frechet, space().kernel) == ("FD-means", "KD-means")
    published = FeatureSpace("inception", Means().eval(), published_inception=True)
    assert (published.frechet, published.kernel) == ("FID", "KID")


def test_kept_by_images_name_and_weights(images, tmp_path):
    def files():
        return len(list((tmp_path / "features").glob("*.npz")))

    first = cached_features(space(), images, tmp_path, CPU)
    assert files() == 1
    calls = []
    again = cached_features(space(), images, tmp_path, CPU, on_batch=calls.append)
    assert torch.equal(first, again)
    assert calls == []
    changed = images.copy()
    changed[-1, -1, -1, -1] ^= 1
    others = [(space(weight=2.0), images), (space("b"), images), (space(), changed)]
    for number, (other, pixels) in enumerate(others, start=2):
        assert torch.equal(
            cached_features(other, pixels, tmp_path, CPU), extract(other, pixels, CPU)
        )
        assert files() == number


def test_a_network_that_changed_under_its_name_is_found_out(images, tmp_path):
    class Changed(Means):
        def forward(self, images):
            return super().forward(images) + 50

    class Wider(Means):
        def forward(self, images):
            return super().forward(images).repeat(1, 2)

    cached_features(space(), images, tmp_path, CPU)
    for network in (Changed(), Wider(), Means()):
        other = FeatureSpace("means", network.eval())
        with pytest.warns(UserWarning, match="features of another network of the name means"):
            found = cached_features(other, images, tmp_path, CPU)
        assert torch.equal(found, extract(other, images, CPU))


@pytest.mark.parametrize(
    "spoil",
    [
        lambda x: {"features": x[:-1]},
        lambda x: {"features": x[:, :-1]},
        lambda x: {"features": x.astype(np.float64)},
        lambda x: {
            "features": np.where(np.arange(len(x))[:, None] == len(x) - 1, np.float32(np.nan), x)
        },
        lambda x: {"other": x},
    ],
)
def test_kept_features_that_cannot_be_of_these_images_are_made_again(images, tmp_path, spoil):
    expected = cached_features(space(), images, tmp_path, CPU)
    (file,) = (tmp_path / "features").glob("*.npz")
    write_sealed_npz(file, spoil(expected.numpy()))
    with pytest.warns(UserWarning, match="made again"):
        assert torch.equal(cached_features(space(), images, tmp_path, CPU), expected)
    assert torch.equal(cached_features(space(), images, tmp_path, CPU), expected)


@pytest.mark.parametrize(
    "spoil", [lambda x: x[..., None], lambda x: x * np.float32(np.nan), lambda x: x > 0]
)
def test_a_kept_encoder_of_another_kind_is_made_again(tmp_path, spoil):
    digits = load_images("digits")
    assert digits.labels is not None
    sets = digits.images[:50], digits.labels[:50], tmp_path, EncoderTraining(steps=1, width=4)
    expected = label_encoder_space("digits", *sets).fingerprint
    (file,) = (tmp_path / "encoders").glob("*.npz")
    arrays, _ = read_sealed_npz(file)
    write_sealed_npz(file, {name: spoil(value) for name, value in arrays.items()})
    with pytest.warns(UserWarning, match="made again"):
        assert label_encoder_space("digits", *sets).fingerprint == expected
    assert label_encoder_space("digits", *sets).fingerprint == expected


def test_torchscript_of_any_kind_and_of_nvidias(images, tmp_path):
    expected = images.mean((2, 3))
    for name, module in (("a.pt", Offers()), ("b.pt", Means())):
        found = trusted_torchscript_space(scripted(module.eval(), tmp_path / name))
        np.testing.assert_allclose(extract(found, images, CPU), expected, rtol=1e-6)
        assert found.frechet.startswith("FD-torchscript-")
        grey = images[:, :1]
        np.testing.assert_allclose(
            extract(found, grey, CPU), grey.repeat(3, 1).mean((2, 3)), rtol=1e-6
        )
        assert len(found.fingerprint) == 20


def test_what_is_no_torchscript(tmp_path):
    path = tmp_path / "file.pt"
    path.write_bytes(b"nothing of the kind")
    with pytest.raises(ValueError, match=r"file\.pt is not a TorchScript file") as caught:
        trusted_torchscript_space(path)
    assert "\n" not in str(caught.value)


def test_a_pipe_and_a_file_beyond_the_limit_are_no_torchscript(tmp_path):
    os.mkfifo(tmp_path / "pipe.pt")
    (tmp_path / "large.pt").touch()
    os.truncate(tmp_path / "large.pt", 200 * 2**30)
    for name, words in (
        ("pipe.pt", "not a regular file"),
        ("large.pt", "at most 2,147,483,648 are read"),
    ):
        with pytest.raises(ValueError, match=words):
            trusted_torchscript_space(tmp_path / name)


def test_only_the_published_weights_resized_as_in_the_paper_give_fid(tmp_path, monkeypatch):
    with torch.device("meta"):
        shapes = Inception().state_dict()
    path = tmp_path / "weights.pth"
    torch.save({name: torch.zeros(x.shape, dtype=x.dtype) for name, x in shapes.items()}, path)
    made_up = inception_space(path)
    assert made_up.frechet.startswith("FD-inception-")
    monkeypatch.setattr(
        deep.metrics.features, "INCEPTION_HASH", made_up.name.removeprefix("inception-")
    )
    assert inception_space(path).frechet == "FID"
    assert inception_space(path, "tensorflow").frechet == "FD-inception-tensorflow-resize"


def test_an_encoder_is_trained_once_and_named_after_its_data(tmp_path, monkeypatch):
    digits = load_images("digits")
    assert digits.labels is not None
    first = label_encoder_space("digits", digits.images, digits.labels, tmp_path, SHORT)
    assert first.frechet == "FD-digits-encoder"
    monkeypatch.setattr(deep.metrics.features, "train_encoder", None)
    again = label_encoder_space("digits", digits.images, digits.labels, tmp_path, SHORT)
    assert again.fingerprint == first.fingerprint
    features = extract(again, digits.images[:5], CPU)
    assert features.shape == (5, 8)
    for labels, training in (
        (digits.labels[::-1], SHORT),
        (digits.labels, EncoderTraining(seed=1, steps=3, width=8)),
    ):
        with pytest.raises(TypeError):  # it would be trained
            label_encoder_space("digits", digits.images, labels, tmp_path, training)


def test_bad_networks(images):
    with pytest.raises(ValueError, match=r"must be in evaluation mode: .eval\(\)"):
        FeatureSpace("means", Means())
    with pytest.raises(ValueError, match=r"flat must return \(21, d\) features, got \(21, 48, 1\)"):
        extract(
            FeatureSpace("flat", nn.Sequential(nn.Flatten(), nn.Unflatten(1, (48, 1))).eval()),
            images,
            CPU,
        )
    with pytest.raises(
        ValueError, match="means gives features that are not finite in images 0 to 64"
    ):
        extract(space(weight=float("inf")), images, CPU)
