import math

import numpy as np
import pytest
import torch
from scipy.stats import binom, binomtest, kstest

from deep.models.augment import LABELS, Transforms, augment, draw_transforms
from tests.conftest import FALSE_ALARM, FIXTURES


def nothing(n):
    return Transforms.from_stacked(torch.zeros(n, 8))


def published():
    data = np.load(FIXTURES / "edm_augment.npz")
    get = {name: torch.from_numpy(data[name]).float() for name in data if data[name].ndim}
    transforms = Transforms(
        x_flip=get["xflip"],
        y_flip=get["yflip"],
        scale=get["scale_w"],
        angle=get["rotate_angle"],
        stretch=get["aniso_w"],
        stretch_angle=get["aniso_angle"],
        shift_x=get["translate_w"][0],
        shift_y=get["translate_w"][1],
    )
    return get, transforms


def test_the_published_images_and_labels():
    get, transforms = published()
    torch.testing.assert_close(
        augment(get["images"], transforms), get["augmented"], rtol=0, atol=1e-5
    )
    torch.testing.assert_close(transforms.labels(), get["labels"], rtol=0, atol=1e-6)
    assert transforms.labels().shape[1] == LABELS


def test_a_quarter_turned_the_other_way_is_noticed():
    """Control: the comparison with the published images is not blind to a wrong sign."""
    get, transforms = published()
    rows = transforms.stacked()
    rows[:, 3] *= -1
    assert (
        augment(get["images"], Transforms.from_stacked(rows)) - get["augmented"]
    ).abs().max() > 0.1


def test_an_image_does_not_depend_on_its_batch():
    get, transforms = published()
    whole = augment(get["images"], transforms)
    part = augment(get["images"][2:5], Transforms.from_stacked(transforms.stacked()[2:5]))
    torch.testing.assert_close(part, whole[2:5], rtol=0, atol=1e-6)


def test_nothing_done_leaves_smooth_images_alone_and_has_label_zero():
    """The filters pass what is smooth; noise at the grid's own frequency is damped."""
    y, x = torch.meshgrid(torch.linspace(-1, 1, 32), torch.linspace(-1, 1, 32), indexing="ij")
    image = torch.exp(-4 * (x**2 + y**2))[None, None]
    torch.testing.assert_close(augment(image, nothing(1)), image, rtol=0, atol=2e-3)
    assert not nothing(1).labels().any()


def test_turning_and_shifting_do_what_they_say():
    y, x = torch.meshgrid(torch.linspace(-1, 1, 32), torch.linspace(-1, 1, 32), indexing="ij")
    spot = torch.exp(-40 * ((x - 0.5) ** 2 + y**2))[None, None]  # at the right

    def centre(transforms):
        image = augment(spot, transforms)[0, 0]
        return float((image * x).sum() / image.sum()), float((image * y).sum() / image.sum())

    rows = torch.zeros(1, 8)
    rows[0, 3] = math.pi / 2
    turned = centre(Transforms.from_stacked(rows))
    assert abs(turned[0]) < 0.02
    assert abs(abs(turned[1]) - 0.5) < 0.02
    rows = torch.zeros(1, 8)
    rows[0, 6] = 1.0
    moved = centre(Transforms.from_stacked(rows))
    # an eighth of the side, which is 31/15.5 units long
    assert abs(moved[0] - 0.5 - 0.125 * 32 / 15.5) < 0.02
    assert abs(moved[1]) < 0.02


ZERO_DRAW = 2**-20
"""At least the probability that a float32 draw, normal or uniform, is exactly 0: it comes of an
integer of 24 bits, or of two of them."""


@pytest.mark.parametrize("p", [0.0, 0.12, 1.0])
def test_how_often_each_transform_happens(p, rng):
    n = 20_000
    t = draw_transforms(n, p, torch.Generator().manual_seed(int(rng.integers(2**32))))
    expected = {
        "x_flip": 0.5,
        "y_flip": 0.5 * p,
        "scale": p,
        "angle": p,
        "stretch": p,
        "stretch_angle": 0.5,
        "shift_x": p,
        "shift_y": p,
    }
    level = FALSE_ALARM / (len(expected) + 4)
    for name, probability in expected.items():
        happened = int((getattr(t, name) != 0).sum())
        assert binomtest(happened, n, min(probability, 1 - ZERO_DRAW)).pvalue > level, (
            f"{name} happened {happened / n:.3f} of the time"
        )
    if p == 1:
        for name, distribution in {"scale": "norm", "stretch": "norm", "shift_x": "norm"}.items():
            assert kstest(getattr(t, name).numpy(), distribution).pvalue > level
        assert kstest(t.angle.numpy() / (2 * math.pi) + 0.5, "uniform").pvalue > level
    # both shifts happen or none, but for draws that are 0 by themselves
    apart = int(((t.shift_x != 0) != (t.shift_y != 0)).sum())
    assert apart <= binom.isf(level, 2 * n, ZERO_DRAW)


def test_half_precision_of_the_network_is_not_that_of_the_augmentation():
    get, transforms = published()
    with torch.autocast("cpu", torch.bfloat16):
        inside = augment(get["images"], transforms)
    assert torch.equal(inside, augment(get["images"], transforms))


def test_stacking_and_back():
    t = draw_transforms(5, 1.0, torch.Generator().manual_seed(0))
    assert torch.equal(Transforms.from_stacked(t.stacked()).stacked(), t.stacked())
