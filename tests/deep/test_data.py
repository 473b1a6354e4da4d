import numpy as np

from deep.data import load_images
from tests.deep.data_files import refused


def test_digits_are_embedded():
    digits = load_images("digits")
    assert digits.images.shape == (1797, 1, 8, 8)
    assert (digits.images.min(), digits.images.max()) == (0, 255)
    assert digits.labels is not None
    np.testing.assert_array_equal(np.bincount(digits.labels), [178, 182, 177, 183, 181, 182, 181, 179, 174, 180])


def test_sources_that_are_nothing_are_refused(tmp_path):
    refused(tmp_path / "none.zip", "no such file")
    refused(tmp_path, "no PNG or JPEG images")
    (tmp_path / "x.txt").write_text("hello")
    refused(tmp_path / "x.txt", "'digits'", "*.tar.gz")
