import io
import zipfile

import numpy as np
import pytest
import torch

from stability.sealed import seal, sealed_digest
from stability.untrusted import UntrustedFileError


def archive(save):
    file = io.BytesIO()
    save(file)
    digest = seal(file)
    return file.getvalue(), digest


SAVED = {
    "npz": lambda file: np.savez(file, x=np.arange(5)),
    "torch": lambda file: torch.save({"x": torch.arange(5)}, file),
}


@pytest.mark.parametrize("save", SAVED.values(), ids=SAVED)
def test_a_sealed_archive_is_read_by_everyone_and_has_equal_bytes_each_time(save):
    content, digest = archive(save)
    assert archive(save) == (content, digest)
    assert sealed_digest(io.BytesIO(content)) == digest
    assert zipfile.ZipFile(io.BytesIO(content)).testzip() is None
    if save is SAVED["npz"]:
        assert np.load(io.BytesIO(content))["x"].tolist() == [0, 1, 2, 3, 4]
    else:
        assert torch.load(io.BytesIO(content), weights_only=True)["x"].tolist() == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("save", SAVED.values(), ids=SAVED)
def test_every_flipped_bit_and_every_cut_is_noticed(save, rng):
    content, _ = archive(save)
    bits = range(8 * len(content)) if len(content) < 600 else rng.choice(8 * len(content), 600, replace=False)
    for bit in bits:
        spoiled = bytearray(content)
        spoiled[bit // 8] ^= 1 << bit % 8
        with pytest.raises(UntrustedFileError):
            sealed_digest(io.BytesIO(spoiled))
    for size in rng.choice(len(content), 50):
        with pytest.raises(UntrustedFileError, match="carries no digest"):
            sealed_digest(io.BytesIO(content[:size]))


def test_only_a_whole_archive_can_be_sealed():
    with pytest.raises(ValueError, match="only a zip archive"):
        seal(io.BytesIO(b"no archive"))
