import io
import zipfile
from contextlib import nullcontext

import numpy as np
import pytest

from deep.data import load_chains, load_images
from tests.support.data_files import refused


@pytest.mark.parametrize("shape", [(5, 3, 4, 4), (5, 1, 4, 4), (5, 4, 4, 3), (5, 4, 4)])
def test_arrays_with_the_channels_anywhere(shape, tmp_path, rng):
    images = rng.integers(0, 256, shape, dtype=np.uint8)
    first = {
        4: lambda: images if shape[1] != 4 else images.transpose(0, 3, 1, 2),
        3: lambda: images[:, None],
    }[len(shape)]()
    np.save(tmp_path / "a.npy", images)
    np.savez(tmp_path / "named.npz", other=[1], images=images, labels=np.arange(5, dtype=np.uint8))
    np.savez_compressed(tmp_path / "single.npz", images)
    for name in ("a.npy", "named.npz", "single.npz"):
        ignored = (
            pytest.warns(UserWarning, match="ignored the arrays other")
            if "named" in name
            else nullcontext()
        )
        with ignored:
            read = load_images(tmp_path / name)
        np.testing.assert_array_equal(read.images, first)
        assert read.images.flags.c_contiguous
        if name == "named.npz":
            assert read.labels is not None
            assert read.labels.dtype == np.int64
            assert read.labels.tolist() == [0, 1, 2, 3, 4]


def test_an_npz_that_unpacks_to_far_more_than_fits_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "bomb.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        header = io.BytesIO()
        np.lib.format.write_array_header_1_0(
            header, {"descr": "|u1", "fortran_order": False, "shape": (2**40, 3, 8, 8)}
        )
        archive.writestr("images.npy", header.getvalue())
    refused(tmp_path / "bomb.npz")
    (tmp_path / "bomb.npy").write_bytes(header.getvalue())
    refused(tmp_path / "bomb.npy")


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"images": np.zeros((2, 1, 4, 4), np.float32)}, "uint8, got float32"),
        ({"images": np.zeros((2, 2, 4, 4), np.uint8)}, "(n, c, h, h)"),
        ({"images": np.zeros((0, 1, 4, 4), np.uint8)}, "(n, c, h, h)"),
        ({"images": np.zeros((2, 1, 4, 4), np.uint8), "labels": np.array([1])}, "2 class numbers"),
        ({"images": np.zeros((2, 1, 4, 4), np.uint8), "labels": np.array([0.5, 1])}, "float64"),
        ({"images": np.array([{}], dtype=object)}, "Python objects"),
        ({"a": np.zeros(3), "b": np.zeros(3)}, "array named images"),
    ],
)
def test_arrays_that_are_not_images_are_refused(arrays, words, tmp_path):
    np.savez(tmp_path / "x.npz", **arrays)
    refused(tmp_path / "x.npz", words)


def test_an_array_file_that_is_cut_short_is_refused(tmp_path):
    np.save(tmp_path / "x.npy", np.zeros((20, 1, 8, 8), np.uint8))
    content = (tmp_path / "x.npy").read_bytes()
    (tmp_path / "x.npy").write_bytes(content[:-64])
    refused(tmp_path / "x.npy")
    np.savez(tmp_path / "x.npz", images=np.zeros((20, 1, 8, 8), np.uint8))
    content = (tmp_path / "x.npz").read_bytes()
    (tmp_path / "x.npz").write_bytes(content[:-400])
    refused(tmp_path / "x.npz")


def test_images_and_labels_without_names(tmp_path, rng):
    """As guided-diffusion writes its samples, and the statistics beside its reference images."""
    images = rng.integers(0, 256, (3, 4, 4, 3), dtype=np.uint8)
    np.savez(tmp_path / "samples.npz", images, np.array([4, 0, 2]))
    np.savez(tmp_path / "reference.npz", images, mu=np.zeros(3), sigma=np.eye(3))
    read = load_images(tmp_path / "samples.npz")
    np.testing.assert_array_equal(read.images, images.transpose(0, 3, 1, 2))
    assert read.labels is not None
    assert read.labels.tolist() == [4, 0, 2]
    with pytest.warns(UserWarning, match="ignored the arrays mu, sigma"):
        assert load_images(tmp_path / "reference.npz").labels is None


@pytest.mark.parametrize(
    ("pixels", "convert"),
    [
        (np.linspace(0, 1, 32, dtype=np.float32), lambda x: (255 * x).round().astype(np.uint8)),
        (np.linspace(-1, 1, 32), lambda x: (127.5 * x + 127.5).round().astype(np.uint8)),
        (np.linspace(0, 255, 32), lambda x: x.round().astype(np.uint8)),
        (np.arange(32), lambda x: x.astype(np.uint8)),
        (np.arange(32) > 9, lambda x: 255 * x.astype(np.uint8)),
    ],
)
def test_pixels_that_are_not_bytes_say_how_to_make_bytes_of_them(pixels, convert, tmp_path):
    """The formula that is printed gives a set that is read, of the whole range."""
    x = pixels.reshape(2, 1, 4, 4)
    np.save(tmp_path / "x.npy", x)
    formula = refused(tmp_path / "x.npy", "pixels must be uint8", "convert with").split(
        "convert with "
    )[1]
    converted = eval(formula, {"np": np, "x": x})
    np.testing.assert_array_equal(converted, convert(x))
    np.save(tmp_path / "x.npy", converted)
    assert load_images(tmp_path / "x.npy").images.max() == (31 if x.dtype == int else 255)


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"images": np.full((1, 1, 2, 2), np.nan)}, "NaN"),
        ({"images": np.full((1, 1, 2, 2), 7e9)}, "from 7e+09 to 7e+09"),
        ({"mu": np.zeros(4), "sigma": np.eye(4)}, "statistics of features (mu, sigma), not images"),
        ({"chain-000": np.zeros((9, 2))}, "points or features, not images"),
        (
            {"images": np.zeros((2, 1, 4, 4), np.uint8), "labels": np.array([2**63, 0], np.uint64)},
            "class numbers",
        ),
        ({"images": np.zeros((2, 1, 4, 4), np.uint8), "labels": np.array([-1, 0])}, "from -1 to 0"),
        ({f"{i}\x1b": np.zeros(1) for i in range(50)}, "and 42 more"),
    ],
)
def test_other_arrays_say_what_they_are(arrays, words, tmp_path):
    np.savez(tmp_path / "x.npz", **arrays)
    assert refused(tmp_path / "x.npz", words).isprintable()


def test_chains_of_a_run_are_sets_of_their_own(tmp_path, rng):
    chains = {
        f"chain-{r:03d}": rng.integers(0, 256, (r + 2, 1, 4, 4), dtype=np.uint8) for r in range(3)
    }
    np.savez(tmp_path / "generation-0001.npz", **chains)
    np.savez(tmp_path / "one.npz", **{"chain-000": chains["chain-000"]})
    refused(tmp_path / "generation-0001.npz", "holds 3 chains of a run, chain-000 to chain-002")
    found = load_chains(tmp_path / "generation-0001.npz")
    assert list(found) == list(chains)
    for name, one in found.items():
        np.testing.assert_array_equal(one.images, chains[name])
    for load in (load_images, lambda path: load_chains(path)[""]):
        np.testing.assert_array_equal(load(tmp_path / "one.npz").images, chains["chain-000"])
