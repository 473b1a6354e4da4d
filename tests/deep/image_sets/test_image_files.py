import io
import json
import os
import re
import tarfile
import zipfile
from contextlib import nullcontext

import numpy as np
import pytest
from PIL import Image

import deep.image_sets.image_files
import deep.image_sets.image_set
from deep.data import DataError, load_images
from tests.conftest import FIXTURES
from tests.support.data_files import CIFAR, cifar_members, encoded, refused, tarred, written, zipped


def test_edm_zips_of_edms_own_tool():
    """The tool sorts 0.png … 11.png as text; unresized, the zip holds the archive's images in
    that order.
    """
    plain = load_images(FIXTURES / "edm_dataset_unlabelled.zip")
    assert plain.labels is None
    order = sorted(range(12), key=lambda i: f"{i}.png")
    training = load_images(CIFAR)
    np.testing.assert_array_equal(plain.images, training.images[order])
    labelled = load_images(FIXTURES / "edm_dataset_labelled.zip")
    assert labelled.images.shape == (12, 3, 16, 16)
    assert labelled.labels is not None
    assert labelled.labels.tolist() == [0, 6, 7, 9, 5, 6, 2, 2, 7, 6, 5, 6]


def test_a_folder_is_read_like_the_zip_of_it(tmp_path):
    with zipfile.ZipFile(FIXTURES / "edm_dataset_labelled.zip") as archive:
        archive.extractall(tmp_path)
    read, same = load_images(tmp_path), load_images(FIXTURES / "edm_dataset_labelled.zip")
    np.testing.assert_array_equal(read.images, same.images)
    np.testing.assert_array_equal(read.labels, same.labels)  # type: ignore[arg-type]


def test_top_level_folders_are_classes(tmp_path):
    grey = np.arange(16, dtype=np.uint8).reshape(4, 4)
    for i, name in enumerate(("cat/b.png", "dog/x/a.png", "cat/a.png", "bird/1.PNG")):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(encoded(grey + i))
    read = load_images(tmp_path)
    assert read.images[:, 0, 0, 0].tolist() == [3, 2, 0, 1]  # bird, cat/a, cat/b, dog
    assert read.labels is not None
    assert read.labels.tolist() == [0, 1, 1, 2]


@pytest.mark.parametrize("labels", [None, [0.5, 0.5]])
def test_labels_that_are_not_class_numbers_are_none(labels, tmp_path):
    entries = None if labels is None else [["a.png", labels]]
    files = {
        "a.png": encoded(np.zeros((4, 4), np.uint8)),
        "dataset.json": json.dumps({"labels": entries}),
    }
    path = zipped(tmp_path / "x.zip", files)
    said = pytest.warns(UserWarning, match=r"no labels are read, because dataset\.json has vectors")
    with said if labels else nullcontext():
        assert load_images(path).labels is None


def test_folders_in_a_zip_are_no_classes_and_that_is_said(tmp_path):
    with pytest.warns(
        UserWarning, match=r"no dataset\.json; unpack it to take its 2 folders for classes"
    ):
        assert (
            load_images(zipped(tmp_path / "x.zip", pictures("cat/0.png", "dog/0.png"))).labels
            is None
        )
    numbered = zipped(tmp_path / "y.zip", pictures("00000/0.png", "00001/1.png"))
    assert load_images(numbered).labels is None


@pytest.mark.parametrize("name", ["../evil", "/etc/evil", "a/../../evil", "..\\evil", "C:evil"])
def test_names_that_lead_out_of_an_archive_are_refused(name, tmp_path):
    tar = tarred(tmp_path / "bad.tar.gz", {**cifar_members(), name: b"evil"})
    refused(tar, "leads out of the archive")
    grey = encoded(np.zeros((4, 4), np.uint8))
    refused(
        zipped(tmp_path / "bad.zip", {"a.png": grey, name + ".png": grey}),
        "leads out of the archive",
    )


def test_links_in_an_archive_are_refused(tmp_path):
    def link(info):
        if info.name == "link":
            info.type, info.linkname = tarfile.SYMTYPE, "/etc/passwd"
        return info

    refused(
        tarred(tmp_path / "bad.tar.gz", {"link": b"", **cifar_members()}, link),
        "link",
        "neither a file",
    )
    info = zipfile.ZipInfo("a.png")
    info.external_attr = 0o120777 << 16
    with zipfile.ZipFile(tmp_path / "bad.zip", "w") as archive:
        archive.writestr(info, "/etc/passwd")
    refused(tmp_path / "bad.zip", "a.png", "link")


def test_a_zip_member_that_unpacks_to_far_more_than_an_image_is_refused(tmp_path):
    grey = encoded(np.zeros((4, 4), np.uint8))
    files = {"a.png": grey, "b.png": grey + bytes(2**24)}
    path = zipped(tmp_path / "bomb.zip", files, compression=zipfile.ZIP_DEFLATED)
    assert path.stat().st_size < 2**15
    refused(path, "b.png: has more than")


def test_images_that_are_not_alike_are_refused(tmp_path):
    grey, larger = np.zeros((4, 4), np.uint8), np.zeros((8, 8), np.uint8)
    colour = np.zeros((4, 4, 3), np.uint8)
    for other in (larger, colour):
        both = {"a.png": encoded(grey), "b.png": encoded(other)}
        refused(zipped(tmp_path / "x.zip", both), "different shapes", "b.png")
    for file, words in {
        "rgba.png": (encoded(np.zeros((4, 4, 4), np.uint8)), "transparent pixels"),
        "wide.png": (encoded(np.zeros((4, 8), np.uint8)), "(n, c, h, h)"),
        "broken.png": (
            encoded(np.arange(4096, dtype=np.uint8).reshape(64, 64))[:-40],
            "broken.png",
        ),
        "text.png": (b"hello", "text.png"),
    }.items():
        content, expected = words
        refused(zipped(tmp_path / "x.zip", {file: content}), expected)


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        ([["a.png", 1]], "no label for b.png"),
        ([["a.png", 1], ["b.png", -1]], "class numbers >= 0"),
        ([["a.png", 1], ["b.png", "cat"]], "class numbers >= 0"),
        ([["a.png", 1], ["b.png", [1.0]]], "class numbers >= 0"),
        ("nonsense", "dataset.json"),
    ],
)
def test_labels_that_do_not_fit_are_refused(labels, words, tmp_path):
    grey = encoded(np.zeros((4, 4), np.uint8))
    files = {"a.png": grey, "b.png": grey, "dataset.json": json.dumps({"labels": labels})}
    refused(zipped(tmp_path / "x.zip", files), "dataset.json", words)


def test_a_damaged_zip_is_refused(tmp_path):
    whole = (FIXTURES / "edm_dataset_labelled.zip").read_bytes()
    place = whole.index(b"IDAT") + 100
    for content in (
        whole[:-200],
        whole[:place] + b"\xff\x00\xff" + whole[place + 3 :],
        b"hello",
        b"",
    ):
        (tmp_path / "bad.zip").write_bytes(content)
        refused(tmp_path / "bad.zip")


# Layouts that people have

GREY = np.arange(16, dtype=np.uint8).reshape(4, 4)


def pictures(*names, kind="PNG"):
    """Files of these names; image i begins with the value i."""
    return {
        name: encoded(GREY + i, "JPEG" if "jp" in name else kind) for i, name in enumerate(names)
    }


@pytest.mark.parametrize("source", ["folder", "zip"])
@pytest.mark.parametrize(
    "parts",
    [("train", "test"), ("Train", "VAL"), ("training_set", "test_set"), ("val2017", "train2017")],
)
@pytest.mark.parametrize("above", ["", "ds/", "a/b/"])
def test_a_training_set_beside_a_test_set_is_asked_which(source, parts, above, tmp_path):
    files = pictures(*(f"{above}{part}/{name}/0.png" for part in parts for name in ("cat", "dog")))
    path = (
        written(tmp_path / "ds", files) if source == "folder" else zipped(tmp_path / "x.zip", files)
    )
    with pytest.raises(DataError, match="which are not one set: give one of them, as in") as caught:
        load_images(path)
    assert all(f"{part}/" in str(caught.value) for part in parts)
    if source == "folder":
        chosen = load_images(tmp_path / "ds" / above / parts[0])
        assert len(chosen.images) == 2
        assert chosen.labels is not None
        assert chosen.labels.tolist() == [0, 1]


@pytest.mark.parametrize("names", [("train", "car"), ("trainers", "testers"), ("train",)])
def test_classes_that_sound_like_a_part_are_no_parts(names, tmp_path):
    files = pictures(*(f"{name}/{i}/a.png" for name in names for i in range(2)))
    assert len(load_images(written(tmp_path, files)).images) == 2 * len(names)


def test_a_table_of_all_images_makes_one_set_of_parts(tmp_path):
    files = pictures("train/a.png", "test/a.png")
    files["dataset.json"] = json.dumps({"labels": [["train/a.png", 3], ["test/a.png", 4]]}).encode()
    labels = load_images(written(tmp_path, files)).labels
    assert labels is not None
    assert labels.tolist() == [4, 3]


def test_png_and_jpeg_are_both_read_by_their_content_and_sorted_by_name(tmp_path):
    files = pictures("a.jpg", "b.png", "c.JPEG", "10.png")
    files["2.png"] = files["a.jpg"]  # a JPEG in spite of its name
    read = load_images(written(tmp_path, files)).images
    names = sorted(files)
    assert names == ["10.png", "2.png", "a.jpg", "b.png", "c.JPEG"]
    for name, image in zip(names, read, strict=True):
        with Image.open(io.BytesIO(files[name])) as expected:
            np.testing.assert_array_equal(image[0], np.asarray(expected))


def test_what_is_not_read_is_counted_in_one_line(tmp_path):
    """The control: the images and labels are those of the folder without what is ignored."""
    files = pictures("cat/0.png", "cat/1.jpg", "dog/0.png")
    plain = load_images(written(tmp_path / "plain", files))
    junk = dict.fromkeys(
        ("a.gif", "cat/b.gif", "notes.txt", "LICENSE", ".DS_Store", "cat/._0.png"), b"junk"
    )
    junk |= {
        ".ipynb_checkpoints/0-checkpoint.png": files["cat/0.png"],
        "__MACOSX/cat/._0.png": b"junk",
    }
    written(tmp_path / "junk", files | junk)
    (tmp_path / "junk" / "linked").symlink_to(tmp_path / "plain" / "cat")
    (tmp_path / "junk" / "loop").symlink_to(tmp_path)
    (tmp_path / "junk" / "broken.png").symlink_to("nowhere")
    os.mkfifo(tmp_path / "junk" / "pipe.png")
    message = (
        "ignored 12 files: 4 hidden, 2 .gif, 2 linked folder, 2 pipe, device or broken "
        "link, 1 .txt, 1 without suffix"
    )
    with pytest.warns(UserWarning, match=re.escape(message)) as caught:
        read = load_images(tmp_path / "junk")
    assert len(caught) == 1
    np.testing.assert_array_equal(read.images, plain.images)
    np.testing.assert_array_equal(read.labels, plain.labels)  # type: ignore[arg-type]

    with pytest.warns(UserWarning, match="ignored|no labels") as caught:
        in_zip = load_images(zipped(tmp_path / "x.zip", files | junk))
    assert [str(one.message).split(": ", 1)[1] for one in caught] == [
        "ignored 8 files: 4 hidden, 2 .gif, 1 .txt, 1 without suffix",
        "no labels are read, because there is no dataset.json; unpack it to take its 2 folders "
        "for classes",
    ]
    np.testing.assert_array_equal(in_zip.images, plain.images)


def test_a_folder_of_other_pictures_says_what_it_holds(tmp_path):
    refused(
        written(tmp_path, {"a.webp": b"", "b.webp": b"", "c.bmp": b""}),
        "no PNG or JPEG images; it holds 3 files: 2 .webp",
    )


def test_links_to_images_are_followed_and_links_to_other_things_refused(tmp_path):
    written(tmp_path / "outside", pictures("a.png"))
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "0.png").symlink_to(tmp_path / "outside" / "a.png")
    assert len(load_images(tmp_path / "in").images) == 1
    (tmp_path / "in" / "1.png").symlink_to("/dev/zero")
    with pytest.warns(UserWarning, match="ignored 1 file: 1 pipe, device or broken link"):
        load_images(tmp_path / "in")
    (tmp_path / "in" / "1.png").unlink()
    (tmp_path / "in" / "2.png").symlink_to("/etc/passwd")
    refused(tmp_path / "in", "2.png: is neither a PNG nor a JPEG")


@pytest.mark.parametrize("source", ["folder", "zip"])
@pytest.mark.parametrize("above", ["ds/", "a/b/"])
def test_labels_of_a_table_in_a_folder_are_relative_to_it(source, above, tmp_path):
    files = pictures(f"{above}00000/1.png", f"{above}00000/0.png")
    table = {"labels": [["00000/1.png", 7], ["00000/0.png", 5]]}
    files[f"{above}dataset.json"] = json.dumps(table).encode()
    path = (
        written(tmp_path / "x", files) if source == "folder" else zipped(tmp_path / "x.zip", files)
    )
    labels = load_images(path).labels
    assert labels is not None
    assert labels.tolist() == [5, 7]


def test_a_table_without_labels_is_no_reason_to_take_folders_for_classes(tmp_path):
    files = pictures("00000/0.png", "00001/1.png") | {"dataset.json": b'{"labels": null}'}
    assert load_images(written(tmp_path, files)).labels is None


def test_several_tables_are_several_sets(tmp_path):
    files = pictures("a/0.png", "b/0.png") | dict.fromkeys(
        ("a/dataset.json", "b/dataset.json"), b'{"labels": null}'
    )
    refused(written(tmp_path, files), "2 sets", "give one of a/dataset.json, b/dataset.json")


@pytest.mark.parametrize(
    ("files", "stray"),
    [
        ({**pictures("cat/0.png", "dog/0.png", "preview.png")}, "beside them: preview.png"),
        (
            {
                **pictures("ds/0.png", "preview.jpg"),
                "ds/dataset.json": b'{"labels": [["0.png", 1]]}',
            },
            "preview.jpg lies outside",
        ),
    ],
)
def test_an_image_that_keeps_labels_from_being_read_is_named(files, stray, tmp_path):
    with pytest.warns(UserWarning, match=f"no labels are read.*{stray}"):
        assert load_images(written(tmp_path, files)).labels is None


def test_class_folders_in_a_folder(tmp_path):
    read = load_images(written(tmp_path, pictures("set/images/cat/0.png", "set/images/dog/0.png")))
    assert read.labels is not None
    assert read.labels.tolist() == [0, 1]


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (b"[" * 100_000, "nested too deeply"),
        (b'{"labels": [["a.png", NaN]]}', "NaN"),
        (b'{"labels": [["\\ud800.png", 1]]}', "surrogate"),
        (b'{"labels": [["a.png", 1], ["a.png", 2]]}', "two labels for a.png"),
        (b'{"labels": [["a.png", 1]], "labels": null}', "labels twice"),
        (b'{"labels": [["a.png", 9223372036854775808]]}', "class numbers"),
        (b'{"labels": [["a.png", 1.0]]}', "class numbers"),
        (b'{"labels": [["a.png", true]]}', "class numbers"),
        (b'{"labels": [["a.png"]]}', "not a name and a label"),
        (b'{"labels": [[["a.png"], 1]]}', "not a name and a label"),
        (b'{"labels": 3}', "must be a list"),
        (b"[]", 'must be an object with "labels"'),
        (b'{"label": []}', 'must be an object with "labels"'),
        (b'{"labels": [["\\u001b[31m", 1]]}', "no label for a.png"),
        (b" " * 2**21, "has more than"),
    ],
)
def test_hostile_tables_are_one_line(table, message, tmp_path):
    files = pictures("a.png") | {"dataset.json": table}
    refused(zipped(tmp_path / "x.zip", files), "dataset.json", message)
    with pytest.raises(DataError, match=re.escape("dataset.json")):
        load_images(written(tmp_path / "folder", files))


def test_names_from_files_cannot_write_to_the_terminal(tmp_path):
    for name in ("\x1b[31mred.png", "a\nb.png", "x" * 3000 + ".png"):
        message = refused(zipped(tmp_path / "x.zip", {name: b"no image"}))
        assert message.isprintable()
        assert len(message) < 1000


def test_a_warning_is_one_printable_line_of_the_first_process(tmp_path, monkeypatch):
    path = written(tmp_path / "\x1b[31m\n", pictures("a.png") | {"b.\x1bc": b""})
    with pytest.warns(UserWarning, match="ignored 1 file") as caught:
        load_images(path)
    assert str(caught[0].message).isprintable()
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert len(load_images(path).images) == 1  # a warning would be an error


def test_a_zip_that_is_no_regular_file_or_sparse(tmp_path):
    os.mkfifo(tmp_path / "pipe.zip")
    refused(tmp_path / "pipe.zip", "pipe")
    with (tmp_path / "sparse.zip").open("wb") as file:
        file.truncate(2**40)
    refused(tmp_path / "sparse.zip", "at most")
    with (tmp_path / "sparse.png").open("wb") as file:
        file.truncate(2**40)
    (tmp_path / "pipe.zip").unlink()
    (tmp_path / "sparse.zip").unlink()
    refused(tmp_path, "sparse.png", "at most")


def test_images_that_unpack_to_far_more_than_their_files(tmp_path, monkeypatch):
    monkeypatch.setattr(deep.image_sets.image_set, "ALWAYS_PLAUSIBLE", 2**20)
    flat = encoded(np.zeros((512, 512), np.uint8))  # 128 times smaller than its pixels
    files = {f"{i}.png": flat for i in range(9)}
    refused(zipped(tmp_path / "x.zip", files), "more than 64 times")
    refused(written(tmp_path / "x", files), "more than 64 times")
    assert len(load_images(written(tmp_path / "few", {"a.png": flat})).images) == 1  # the control


def test_the_number_of_files_is_bounded(tmp_path, monkeypatch):
    monkeypatch.setattr(deep.image_sets.image_files, "MOST_FILES", 5)
    refused(written(tmp_path / "x", pictures(*(f"{i}.png" for i in range(6)))), "more than 5 files")
    refused(
        zipped(tmp_path / "x.zip", pictures(*(f"{i}.png" for i in range(6)))), "more than 5 members"
    )
    assert (
        len(load_images(written(tmp_path / "y", pictures(*(f"{i}.png" for i in range(5))))).images)
        == 5
    )


def test_folders_in_folders_without_end(tmp_path):
    path = tmp_path / "x"
    path.mkdir()
    inner = path
    for _ in range(400):  # a recursion over folders would be deeper than that
        inner = inner / "d"
    inner.mkdir(parents=True)
    (inner / "a.png").write_bytes(encoded(GREY))
    assert len(load_images(path).images) == 1
