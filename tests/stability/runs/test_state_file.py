import io
import os
import zipfile
from collections import OrderedDict

import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from stability.runs.sealed import seal
from stability.runs.state_file import as_plain, from_plain, read_state, write_state
from stability.runs.untrusted import UntrustedFileError

dtypes = hnp.scalar_dtypes() | hnp.unicode_string_dtypes() | hnp.byte_string_dtypes()
arrays = dtypes.flatmap(
    lambda dtype: hnp.arrays(dtype, hnp.array_shapes(min_dims=0, min_side=0, max_side=3))
)


@given(array=arrays, order=st.sampled_from("CF"), frozen=st.booleans())
def test_any_array_and_any_scalar_comes_back_bit_by_bit(array, order, frozen):
    array = np.asarray(array, order=order)
    array.flags.writeable = not frozen
    state = {"array": array, "scalars": list(array.reshape(-1)[:1])}
    back = from_plain(as_plain(state, "state"))
    for expected, found in (
        (array, back["array"]),
        *zip(state["scalars"], back["scalars"], strict=True),
    ):
        assert type(found) is type(expected)
        assert (found.dtype, found.shape, found.tobytes()) == (
            expected.dtype,
            expected.shape,
            expected.tobytes(),
        )


def test_a_file_has_every_kind_that_is_promised(tmp_path):
    kinds = [
        None,
        True,
        2**70,
        1.5,
        2j,
        "ä",
        b"\0x",
        torch.ones(2),
        torch.nn.Parameter(torch.ones(1)),
        torch.Size([2]),
        torch.float16,
        torch.device("cpu"),
        np.ones(2),
        np.float32(1),
    ]
    state = {"kinds": kinds, ("a", 1): OrderedDict(x=(1, [2]))}
    write_state(tmp_path / "state.pt", state)
    found = read_state(tmp_path / "state.pt")
    assert found.keys() == state.keys()
    assert list(found.values())[1] == list(state.values())[1]
    for one, two in zip(found["kinds"], kinds, strict=True):
        assert type(one) is type(two)
        assert np.all(np.asarray(one == two))


def test_one_object_in_two_places_is_still_one(tmp_path):
    shared, plain = {"x": np.ones(2)}, {"y": torch.ones(2)}
    write_state(tmp_path / "state.pt", {"states": [shared, shared, plain, plain]})
    one, two, three, four = read_state(tmp_path / "state.pt")["states"]
    assert one is two
    assert three is four


@pytest.mark.parametrize(
    "value", [{1}, range(3), np.array([None]), np.ma.array([1]), {np.int64(1): 0}, lambda: 0]
)
def test_what_cannot_be_stored_is_named(value, tmp_path):
    with pytest.raises(TypeError, match=r"state\['a'\]\[0\].* (is|cannot be stored)"):
        write_state(tmp_path / "state.pt", {"a": [value]})
    assert not list(tmp_path.iterdir())


class Malicious:
    def __init__(self, target):
        self.target = target

    def __reduce__(self):
        return os.mkdir, (str(self.target),)


def packed(content):
    file = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(content)) as old,
        zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as new,
    ):
        for member in old.infolist():
            new.writestr(member.filename, old.read(member))
    return file.getvalue()


def test_what_was_not_written_here_is_refused_and_never_executed(tmp_path):
    path, target = tmp_path / "state.pt", tmp_path / "made"
    for value, pack in (
        (Malicious(target), False),
        ({"x": torch.zeros(10**5)}, True),
        ([1], False),
    ):
        file = io.BytesIO()
        torch.save(value, file)
        file = io.BytesIO(packed(file.getvalue())) if pack else file
        seal(file)
        path.write_bytes(file.getvalue())
        with pytest.raises(
            UntrustedFileError, match=r"is damaged|holds list, not a state"
        ) as caught:
            read_state(path)
        assert "weights_only" not in str(caught.value)
    assert not target.exists()
    os.truncate(path, 2**37)  # sparse
    with pytest.raises(UntrustedFileError, match="carries no digest"):
        read_state(path)
