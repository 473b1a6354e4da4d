"""Arrays and pictures are read as what a viewer shows."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from stability.planning.monitor import check
from stability.planning.tables import CLASS_FOLDER
from stability.planning.watched_data import natural_order, read_watched


def test_people_count_2_before_10():
    names = ["gen10", "gen2", "gen1", "gen02b"]
    assert [p.name for p in natural_order(list(map(Path, names)))] == [
        "gen1",
        "gen2",
        "gen02b",
        "gen10",
    ]


def pixels(path):
    raw = read_watched(path)
    return np.stack([raw.cells[f"x{j}"] for j in range(len(raw.cells))], axis=1)


@pytest.fixture
def picture(rng):
    return Image.fromarray(rng.integers(0, 256, (6, 4, 3), np.uint8))


def test_modes_and_orientation_do_not_matter(tmp_path, picture):
    gray = picture.convert("L")
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    gray.convert("RGB").save(tmp_path / "a" / "0.png")
    gray.convert("RGB").quantize(256).save(tmp_path / "b" / "0.png")
    gray.save(tmp_path / "b" / "1.png")
    gray.convert("RGBA").save(tmp_path / "b" / "2.png")
    turned = gray.convert("RGB").rotate(90, expand=True)
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 270 degrees counterclockwise
    turned.save(tmp_path / "b" / "3.png", exif=exif)
    first = pixels(tmp_path / "a")[0]
    for row in pixels(tmp_path / "b"):
        np.testing.assert_array_equal(row, first)


def test_transparency_is_laid_on_white(tmp_path):
    (tmp_path / "a").mkdir()
    Image.new("RGBA", (2, 2), (255, 0, 0, 0)).save(tmp_path / "a" / "0.png")
    assert (pixels(tmp_path / "a") == 1).all()
    assert "laid on white" in read_watched(tmp_path / "a").notes[1]


def save(folder, rng, count, classes=None):
    for i in range(count):
        inside = folder / classes[i % len(classes)] if classes else folder
        inside.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (5, 5, 3), np.uint8)).save(inside / f"{i}.png")


def test_class_folders_are_a_category_and_may_lack(tmp_path, rng):
    save(tmp_path / "real", rng, 40, ["cat", "dog"])
    save(tmp_path / "gen1", rng, 40)
    save(tmp_path / "gen2", rng, 40, ["cat"])
    result = check([tmp_path / "gen1", tmp_path / "gen2"], tmp_path / "real")
    assert any("no class folders in gen1" in line for line in result.remarks)
    assert CLASS_FOLDER not in {c.column for c in result.looks[0].columns}
    change = next(c for c in result.looks[1].columns if c.column == CLASS_FOLDER)
    assert change.distance == pytest.approx(0.5)
    assert [loss.level for loss in result.looks[1].losses] == ["dog"]


def test_random_convolutions_take_any_size_and_are_the_same_in_every_call(tmp_path, rng):
    save(tmp_path / "a", rng, 3)
    Image.fromarray(rng.integers(0, 256, (9, 7, 3), np.uint8)).save(tmp_path / "a" / "9.png")
    one, other = (read_watched(tmp_path / "a", "random-conv") for _ in range(2))
    assert len(one.cells) == 128
    for name, cells in one.cells.items():
        np.testing.assert_array_equal(cells, other.cells[name])
        assert np.ptp(cells) > 0 or name != "x0"


def brightness(picture):
    return [picture.mean(), picture.std()]


def test_a_function_of_the_user_gives_features(tmp_path, picture):
    (tmp_path / "a").mkdir()
    picture.save(tmp_path / "a" / "0.png")
    raw = read_watched(tmp_path / "a", f"{__name__}:brightness")
    assert raw.cells["x0"] == pytest.approx(np.asarray(picture).mean())


def test_arrays_are_reckoned_in_float64(tmp_path, rng):
    x = (rng.random((50, 3)) * 60000).astype(np.float16)
    np.save(tmp_path / "x.npy", x)
    np.savez(tmp_path / "x.npz", labels=np.zeros(50), feats=x[::-1])
    raw = read_watched(tmp_path / "x.npy")
    assert raw.cells["x0"].dtype == np.float64
    named = read_watched(tmp_path / "x.npz", array="feats")
    np.testing.assert_array_equal(named.cells["x1"][::-1], raw.cells["x1"])
    result = check([tmp_path / "x.npz"], tmp_path / "x.npy", array="feats")
    assert all(change.distance == 0 for change in result.looks[0].columns)
