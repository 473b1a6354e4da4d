import numpy as np
import pytest
import torch
from torch import nn

from deep.metrics.features import FeatureSpace
from deep.metrics.frechet import frechet_distance, moments
from deep.metrics.image_metrics import ImageMetrics
from deep.metrics.kernel_distance import kernel_distance
from deep.metrics.precision_recall import neighbourhoods, precision_recall
from stability.loop.streams import Purpose, stream
from stability.transport.wasserstein import wasserstein

CPU = torch.device("cpu")


class Pixels(nn.Module):
    """Features that are the pixels, so that a test can compute with them."""

    def forward(self, images):
        return images.float().flatten(1) / 255


SPACE = FeatureSpace("pixels", Pixels().eval())


def draw(rng, n, high=256):
    return rng.integers(0, high, (n, 1, 2, 2)).astype(np.uint8)


def features(images):
    return Pixels()(torch.from_numpy(images))


def by_reference(measured):
    return {(one.metric, one.reference, one.reference_images): one for one in measured}


@pytest.fixture
def measure(tmp_path):
    def run(train, held_out, images, **options):
        return ImageMetrics(
            SPACE, train, held_out, len(images), cache=tmp_path, device=CPU, **options
        )(images)

    return run


def test_each_number_is_that_of_its_module(measure, rng):
    train, held_out, images = draw(rng, 40), draw(rng, 30), draw(rng, 30)
    found = by_reference(measure(train, held_out, images, k=2))
    fake, real = features(images), features(train)
    both = precision_recall(neighbourhoods(real, 2), neighbourhoods(fake, 2))
    kid = kernel_distance(fake, real)
    expected = {
        "fd-pixels": frechet_distance(moments(fake), moments(real)),
        "kd-pixels": kid.value,
        **vars(both),
        "w2": wasserstein(fake.numpy(), real.numpy(), orders=[2])[0],
    }
    assert len(found) == 2 * len(expected)
    for name, value in expected.items():
        one = found[f"{name}_30", "train", 40]
        assert one.value == pytest.approx(value, rel=1e-9)
        assert one.images == 30
        assert one.standard_error == (
            pytest.approx(kid.standard_error) if name == "kd-pixels" else None
        )


UNIT = 2.0**-27
"""About 1e-8; a power of two, so that features are not rounded."""


class Scaled(Pixels):
    def forward(self, images):
        return UNIT * super().forward(images)


def test_features_in_another_unit(tmp_path, rng):
    """Sets of different size, values and floors: distances follow the unit by their degree,
    shares do not.
    """
    train, held_out, images = draw(rng, 40), draw(rng, 30), draw(rng, 30)
    degrees = {"fd": 2, "w2": 1}
    found = [
        ImageMetrics(
            space, train, held_out, 30, cache=tmp_path, device=CPU, metrics=["fd", "pr", "w2"]
        )(images)
        for space in (SPACE, FeatureSpace("scaled", Scaled().eval()))
    ]
    for one, other in zip(*found, strict=True):
        unit = UNIT ** degrees.get(one.metric.removesuffix("_30").split("-")[0], 0)
        for value, same in ((one.value, other.value), (one.floor, other.floor)):
            assert same / unit == pytest.approx(value, rel=1e-9)


def test_the_floor_is_what_the_other_real_images_get(measure, rng):
    train, held_out = draw(rng, 40), draw(rng, 30)
    generated = by_reference(measure(train, held_out, held_out))
    for one in generated.values():
        if one.reference == "train":  # the held-out images, as a perfect model would draw them
            assert one.value == pytest.approx(one.floor, rel=1e-9)


def test_the_error_of_the_floor_of_a_mean(measure, rng):
    """Precision is a mean over the other images: leaving groups out gives the standard error
    between groups.
    """
    train, held_out = draw(rng, 60), draw(rng, 50)
    found = by_reference(measure(train, held_out, draw(rng, 50), metrics=["pr"]))
    one = found["precision_50", "train", 60]
    real, others = features(train), features(held_out)
    radii = neighbourhoods(real, 3).squared_radii
    inside = (
        torch.cdist(real.double(), others.double()).square() <= radii[:, None] * (1 + 1e-9)
    ).any(0)
    order = stream(0, Purpose.FLOOR, 0).permutation(50)
    shuffled = inside[order][order]  # once to choose the other images, once to part them in groups
    means = np.array([shuffled[group::5].double().mean() for group in range(5)])
    assert one.floor == pytest.approx(means.mean())
    assert one.floor_error == pytest.approx(means.std(ddof=1) / 5**0.5)


def test_the_error_of_the_floor_is_its_spread_over_sets(measure, rng):
    """60 independent sets of other images: the jackknife's mean variance, against the variance
    of the floors.

    For these smooth metrics they agree within a factor of 2; of 60 the variance is within a factor
    of 3 of the true one at 1e-6 (chi-square with 59 degrees of freedom).
    """
    train = draw(rng, 40)
    found = [by_reference(measure(train, draw(rng, 40), train, metrics=["fd"])) for _ in range(60)]
    lines = [one["fd-pixels_40", "train", 40] for one in found]
    spread = np.var([one.floor for one in lines], ddof=1)
    stated = np.mean([one.floor_error**2 for one in lines])
    assert 1 / 6 < stated / spread < 6
    few = by_reference(measure(train, draw(rng, 4), train, metrics=["fd"]))[
        "fd-pixels_4", "train", 40
    ]
    assert few.floor > 0
    assert few.floor_error is None  # nothing can be left out


def test_a_model_that_copies_its_training_set_is_found_out_by_the_held_out_one(measure, rng):
    train, held_out = draw(rng, 30), draw(rng, 30)
    found = by_reference(measure(train, held_out, train))
    against_train = found["fd-pixels_30", "train", 30]
    assert against_train.value == pytest.approx(0, abs=1e-6)
    assert against_train.floor > 1e-3
    against_held_out = found["fd-pixels_30", "held-out", 30]
    assert against_held_out.value == pytest.approx(against_held_out.floor, rel=1e-9)


def test_which_numbers_of_images_have_a_floor(measure, rng):
    def lines(train, held_out, samples):
        held_out = None if held_out is None else draw(rng, held_out)
        measured = measure(draw(rng, train), held_out, draw(rng, samples), metrics=["fd"])
        return [(m.images, m.reference, m.reference_images, m.floor is not None) for m in measured]

    assert lines(40, 30, 20) == [(20, "train", 40, True), (20, "held-out", 30, True)]
    assert lines(40, 10, 20) == [
        (20, "train", 40, False),
        (10, "train", 40, True),
        (20, "held-out", 10, True),
    ]
    assert lines(40, None, 50) == [(50, "train", 40, False), (20, "rest of train", 20, True)]
    assert lines(40, None, 15) == [(15, "train", 40, False), (15, "rest of train", 25, True)]


def test_a_spoiled_set_is_above_its_floor_and_a_collapsed_one_recalls_nothing(measure, rng):
    train, held_out = draw(rng, 300), draw(rng, 200)
    dark = by_reference(measure(train, held_out, draw(rng, 200, high=128)))[
        "fd-pixels_200", "train", 300
    ]
    assert dark.value > 3 * dark.floor
    collapsed = by_reference(measure(train, held_out, np.repeat(train[:1], 200, axis=0)))
    assert collapsed["precision_200", "train", 300].value == 1
    # P(another real image is the same) < 1e-7
    assert collapsed["recall_200", "train", 300].value == 1 / 300


def test_images_sorted_by_class_do_not_spoil_the_floor(measure, rng):
    """Two classes, dark and light, of real images in order: the halves of the training set hold
    both.
    """
    train = np.concatenate([draw(rng, 100, high=20), 235 + draw(rng, 100, high=20)])
    found = measure(train, None, draw(rng, 100), metrics=["fd"])
    # one class a half gives 4 · (235/255)² = 3.4; 1.5 needs a share of one class beyond 0.8, 9 sd
    # from one half
    assert found[1].floor < 1.5


def test_the_order_of_the_generated_images_counts_for_nothing_where_all_are_used(measure, rng):
    train, held_out, images = draw(rng, 40), draw(rng, 30), draw(rng, 30)
    for one, two in zip(
        measure(train, held_out, images), measure(train, held_out, images[::-1].copy()), strict=True
    ):
        assert one.value == pytest.approx(two.value, rel=1e-9)


def test_options(measure, rng, monkeypatch):
    train, held_out, images = draw(rng, 40), draw(rng, 30), draw(rng, 30)
    default = by_reference(measure(train, held_out, images))
    subsets = by_reference(measure(train, held_out, images, kid_subsets=5))[
        "kd-pixels_30", "train", 40
    ]
    other = by_reference(measure(train, held_out, images, kid_subsets=5, seed=1))[
        "kd-pixels_30", "train", 40
    ]
    assert len({subsets.value, other.value, default["kd-pixels_30", "train", 40].value}) == 3
    assert {one.metric for one in measure(train, held_out, images, metrics=["w2", "fd"])} == {
        "w2_30",
        "fd-pixels_30",
    }
    few, many = (measure(train, held_out, images, k=k, metrics=["pr"])[0].value for k in (1, 20))
    assert few < many
    monkeypatch.setattr("deep.metrics.image_metrics.W2_LIMIT", 30)
    assert [one.reference for one in measure(train, held_out, images, metrics=["w2"])] == [
        "held-out"
    ]


def test_features_of_real_images_are_computed_once(tmp_path, rng):
    train, held_out, images = draw(rng, 40), draw(rng, 30), draw(rng, 25)
    done = []
    for _ in range(2):
        ImageMetrics(SPACE, train, held_out, 25, cache=tmp_path, device=CPU, on_batch=done.append)
    metrics = ImageMetrics(
        SPACE, train, held_out, 25, cache=tmp_path, device=CPU, on_batch=done.append
    )
    assert sum(done) == 70
    assert metrics(images) == metrics(images)
    assert sum(done) == 70 + 2 * 25


@pytest.mark.parametrize(
    ("train", "held_out", "samples", "options", "message"),
    [
        (9, 9, 3, {}, "samples must have at least 4 images, got 3"),
        (9, 3, 9, {}, "held_out must have at least 4 images, got 3"),
        (7, None, 9, {}, "half of train must have at least 4 images, got 3"),
        (9, 9, 5, {"kid_subsets": 2}, "samples must have at least 6 images, got 5"),
        (9, 9, 9, {"k": 9}, "samples must have at least 10 images, got 9"),
    ],
)
def test_too_few_images(measure, rng, train, held_out, samples, options, message):
    with pytest.raises(ValueError, match=message):
        measure(draw(rng, train), held_out and draw(rng, held_out), draw(rng, samples), **options)


def test_images_that_do_not_fit_together(measure, tmp_path, rng):
    train, images = draw(rng, 9), draw(rng, 9)
    with pytest.raises(ValueError, match=r"training images' shape \(1, 2, 2\), got \(1, 1, 4\)"):
        measure(train, images.reshape(9, 1, 1, 4), images)
    with pytest.raises(ValueError, match=r"training images' shape \(1, 2, 2\), got \(4, 1, 1\)"):
        measure(train, None, images.reshape(9, 4, 1, 1))
    with pytest.raises(ValueError, match="there must be 8 images, got 9"):
        ImageMetrics(SPACE, train, None, 8, cache=tmp_path, device=CPU)(images)
