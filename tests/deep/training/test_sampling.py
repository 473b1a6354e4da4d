import numpy as np
import pytest
import torch
from accelerate import Accelerator

from deep.data import load_images
from deep.models.edm import EDM
from deep.models.ot_cfm import OTCFM
from deep.pixels import floored_uint8, rounded_uint8, to_float
from deep.training.sampling import StreamNoise, draw_images, save_images
from tests.support.gaussian_images import Denoiser, Velocity, correlated

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def accelerator():
    return Accelerator(cpu=True)


def test_noise_i_is_stream_i(rng):
    seed = int(rng.integers(2**62))
    streams = np.random.SeedSequence(seed).spawn(9)
    noise = StreamNoise(seed, [2, 5, 8], (1, 2, 3), CPU)
    first, second = noise(), noise()
    for row, i in enumerate([2, 5, 8]):
        expected = np.random.default_rng(streams[i]).standard_normal((2, 1, 2, 3), dtype=np.float32)
        np.testing.assert_array_equal(np.stack([first[row], second[row]]), expected)


def close_pixels(one, two):
    """Equal but for a few pixels that another rounding in the network moved over an edge."""
    gap = np.abs(one.astype(int) - two)
    assert gap.max() <= 1
    assert (gap > 0).mean() < 0.01


@pytest.mark.parametrize(
    ("model", "kind"),
    [
        (EDM(), Denoiser),
        (EDM(churn=10), Denoiser),
        (OTCFM(), Velocity),
        (OTCFM(integrator="euler"), Velocity),
    ],
)
def test_an_image_depends_on_its_own_stream_alone(model, kind, accelerator, rng):
    """Whatever is drawn beside it: other batch sizes, parts of the set, another order."""
    g, seed = correlated(rng, 0.2, kind), int(rng.integers(2**62))

    def draw(indices, batch):
        return draw_images(model, g, g.shape, indices, seed, accelerator=accelerator, batch=batch)

    whole = draw(range(20), 20)
    assert whole.dtype == np.uint8
    assert whole.shape == (20, *g.shape)
    # Bytes may coincide, a few times; streams shared by two images would leave 10 at most.
    assert len(np.unique(whole.reshape(20, -1), axis=0)) > 12
    close_pixels(draw(range(20), 7), whole)
    close_pixels(draw(range(12, 20), 8), whole[12:])
    close_pixels(draw([5, 3], 1), whole[[5, 3]])
    np.testing.assert_array_equal(draw(range(20), 20), whole)
    other = draw_images(model, g, g.shape, range(20), seed + 1, accelerator=accelerator)
    assert (other != whole).any(axis=(1, 2, 3)).sum() > 12


def test_progress_counts_every_image(accelerator, rng):
    g, counts = correlated(rng, 0.5, Denoiser), []
    draw_images(
        EDM(steps=2),
        g,
        g.shape,
        range(20),
        0,
        accelerator=accelerator,
        batch=8,
        on_batch=counts.append,
    )
    assert counts == [8, 8, 4]


def test_images_that_are_not_finite_stop_with_their_numbers(accelerator):
    class Broken(Denoiser):
        def __call__(self, x, sigma, augment_labels=None):
            return torch.where(torch.arange(len(x))[:, None, None, None] == 1, torch.nan, x)

    g = Broken.independent([0.5])
    with pytest.raises(FloatingPointError, match="images 4 to 7: not finite"):
        draw_images(EDM(), g, g.shape, range(4, 20), 0, accelerator=accelerator, batch=4)


@pytest.mark.parametrize(
    ("precision", "dtype"), [("fp32", torch.float32), ("bf16", torch.bfloat16)]
)
def test_matrix_products_of_the_network_have_the_precision_asked_for(precision, dtype, accelerator):
    seen = set()

    class Multiplying(Denoiser):
        def __call__(self, x, sigma, augment_labels=None):
            product = x.flatten(1) @ torch.eye(4)
            seen.add(product.dtype)
            return product.reshape(x.shape).float()

    g = Multiplying.independent([1.0] * 4)
    draw_images(EDM(steps=2), g, g.shape, range(3), 0, accelerator=accelerator, precision=precision)
    assert seen == {dtype}


def test_saved_images_are_read_back_whole(tmp_path, rng):
    images = rng.integers(0, 256, (5, 3, 4, 4), dtype=np.uint8)
    save_images(tmp_path / "samples.npz", images)
    np.testing.assert_array_equal(load_images(tmp_path / "samples.npz").images, images)
    assert [path.name for path in tmp_path.iterdir()] == ["samples.npz"]


def test_bytes_and_numbers():
    every = torch.arange(256, dtype=torch.uint8)
    for back in (floored_uint8, rounded_uint8):
        assert torch.equal(back(to_float(every)), every)
    edges = torch.tensor([-7.0, -1.0, 0.0, 1.0, 7.0, 0.5 / 127.5])
    assert floored_uint8(edges).tolist() == [0, 0, 128, 255, 255, 128]
    # 127.5 and 128: halves go to the even number
    assert rounded_uint8(edges).tolist() == [0, 0, 128, 255, 255, 128]
