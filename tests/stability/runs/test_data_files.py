"""Arrays and pictures are read as what a viewer shows."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from stability.planning.monitor import check
from stability.planning.planner import plan
from stability.runs import data_files
from stability.runs.command_line import UsageError
from stability.runs.data_files import natural_order, read_data
from stability.runs.table_files import CLASS_FOLDER


def test_people_count_2_before_10():
    names = ["gen10", "gen2", "gen1", "gen02b"]
    assert [p.name for p in natural_order(list(map(Path, names)))] == [
        "gen1",
        "gen2",
        "gen02b",
        "gen10",
    ]


def pixels(path):
    raw = read_data(path)
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


def test_files_of_file_managers_are_passed_over(tmp_path, picture):
    picture.save(tmp_path / "0.png")
    before = pixels(tmp_path)
    for name in (".DS_Store", "._0.png", ".hidden/1.png", "__MACOSX/2.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"no picture")
    np.testing.assert_array_equal(pixels(tmp_path), before)


def test_pictures_that_are_none_of_8_bits_are_refused_by_name(tmp_path):
    Image.fromarray(np.full((4, 4), 40_000, np.uint16)).save(tmp_path / "deep.png")
    with pytest.raises(UsageError, match=r"deep\.png: has more than 8 bits a channel: convert it"):
        read_data(tmp_path)
    (tmp_path / "deep.png").write_bytes(b"")
    with pytest.raises(UsageError, match=r"deep\.png: is no picture$"):
        read_data(tmp_path)
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(UsageError, match=r"holds notes\.txt and 1 picture; want one table"):
        read_data(tmp_path)


def test_a_single_number_and_features_without_values_are_refused(tmp_path, picture, monkeypatch):
    np.save(tmp_path / "one.npy", np.array(3.0))
    with pytest.raises(UsageError, match="holds one number; want rows of features"):
        read_data(tmp_path / "one.npy")
    (tmp_path / "pictures").mkdir()
    picture.save(tmp_path / "pictures" / "0.png")
    (tmp_path / "features_of_a_test.py").write_text(
        "nothing = lambda picture: None\nfails = lambda picture: 1 / 0\n"
    )
    monkeypatch.chdir(tmp_path)  # modules are looked for in the present folder too
    with pytest.raises(
        UsageError, match=r"0\.png: features_of_a_test:nothing gives NaN, Inf or no"
    ):
        read_data(tmp_path / "pictures", "features_of_a_test:nothing")


def test_transparency_is_laid_on_white(tmp_path):
    (tmp_path / "a").mkdir()
    Image.new("RGBA", (2, 2), (255, 0, 0, 0)).save(tmp_path / "a" / "0.png")
    assert (pixels(tmp_path / "a") == 1).all()
    assert "laid on white" in read_data(tmp_path / "a").notes[1]


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
    one, other = (read_data(tmp_path / "a", "random-conv") for _ in range(2))
    assert len(one.cells) == 128
    for name, cells in one.cells.items():
        np.testing.assert_array_equal(cells, other.cells[name])
        assert np.ptp(cells) > 0 or name != "x0"


def brightness(picture):
    return [picture.mean(), picture.std()]


def test_a_function_of_the_user_gives_features(tmp_path, picture):
    (tmp_path / "a").mkdir()
    picture.save(tmp_path / "a" / "0.png")
    raw = read_data(tmp_path / "a", f"{__name__}:brightness")
    assert raw.cells["x0"] == pytest.approx(np.asarray(picture).mean())


def test_arrays_are_reckoned_in_float64(tmp_path, rng):
    x = (rng.random((50, 3)) * 60000).astype(np.float16)
    np.save(tmp_path / "x.npy", x)
    np.savez(tmp_path / "x.npz", labels=np.zeros(50), feats=x[::-1])
    raw = read_data(tmp_path / "x.npy")
    assert raw.cells["x0"].dtype == np.float64
    named = read_data(tmp_path / "x.npz", array="feats")
    np.testing.assert_array_equal(named.cells["x1"][::-1], raw.cells["x1"])
    result = check([tmp_path / "x.npz"], tmp_path / "x.npy", array="feats")
    assert all(change.distance == 0 for change in result.looks[0].columns)


def test_one_picture_is_refused_with_what_it_is(tmp_path, rng):
    save(tmp_path / "real", rng, 6)
    (tmp_path / "gen1").mkdir()
    layered = Image.open(tmp_path / "real" / "2.png").convert("RGBA")
    corner = np.asarray(layered).copy()
    corner[0, 0] = (255, 255, 255, 255)
    Image.fromarray(corner).save(tmp_path / "real" / "2.png")
    corner[0, 0] = (255, 0, 0, 0)  # red that nobody sees, laid on white
    Image.fromarray(corner).save(tmp_path / "gen1" / "2.png")
    with pytest.raises(UsageError, match=r"1 row; .* laid on white; it equals a real row"):
        check([tmp_path / "gen1"], tmp_path / "real")


def test_a_package_may_offer_a_feature_space(tmp_path, rng, monkeypatch):
    save(tmp_path / "a", rng, 2)

    class Offered:
        def load(self):
            return lambda file: lambda picture: [picture.mean(), len(str(file))]

    monkeypatch.setattr(data_files, "entry_points", lambda group, name: [Offered()] * (name == "n"))
    raw = read_data(tmp_path / "a", "n:file")
    assert raw.cells["x1"].tolist() == [4, 4]
    with pytest.raises(UsageError, match="No module named 'm'"):
        read_data(tmp_path / "a", "m:file")


def test_the_plan_of_one_round_of_pictures(tmp_path, rng):
    for name in ("real", "train", "samples"):
        save(tmp_path / name, rng, 6)
    folders = [tmp_path / name for name in ("real", "train", "samples")]
    found = plan(folders[0], known_round=(folders[1], folders[2]), lam=1, generations=2)
    assert len(found.rows) == 3
    assert "Note: real: 6 pictures." in found.conditions
    with pytest.raises(ValueError, match="learner needs a table or an array"):
        plan(folders[0], learner=object)
