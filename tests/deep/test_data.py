import numpy as np
import pytest

from deep.data import DataError, load_chains, load_images
from tests.support.data_files import encoded, refused, written


def test_digits_are_embedded():
    digits = load_images("digits")
    assert digits.images.shape == (1797, 1, 8, 8)
    assert (digits.images.min(), digits.images.max()) == (0, 255)
    assert digits.labels is not None
    np.testing.assert_array_equal(
        np.bincount(digits.labels), [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]
    )


def test_sources_that_are_nothing_are_refused(tmp_path):
    refused(tmp_path / "none.zip", "no such file")
    refused(tmp_path, "no PNG or JPEG images")
    (tmp_path / "x.txt").write_text("hello")
    refused(tmp_path / "x.txt", "'digits'", "*.tar.gz")


def test_the_folder_of_a_run_is_no_set_of_its_figures(tmp_path):
    files = {
        "config.json": b"{}",
        "samples/samples.npz": b"",
        "figures/data.png": encoded(np.zeros((4, 4), np.uint8)),
    }
    refused(
        written(tmp_path, files),
        "is the folder of a run: give one of the .npz files in its folder samples",
    )
    (tmp_path / "config.json").unlink()  # the control
    with pytest.warns(UserWarning, match="ignored 1 file: 1 .npz"):
        assert len(load_images(tmp_path).images) == 1


def test_names_that_no_file_can_have(tmp_path):
    for load in (load_images, load_chains):
        with pytest.raises(DataError, match="File name too long"):
            load(tmp_path / ("x" * 300 + ".npz"))
