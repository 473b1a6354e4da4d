import pytest

from stability.runs.output_folder import MARK, claim_output_folder
from stability.runs.run_directory import RunDirectoryError


@pytest.mark.parametrize("exists", [False, True])
def test_a_new_or_empty_folder_is_taken_and_found_again(tmp_path, exists):
    folder = tmp_path / "report"
    if exists:
        folder.mkdir()
    claim_output_folder(folder, "deep.report")
    (folder / "report.html").write_text("page")
    claim_output_folder(folder, "deep.report")
    assert (folder / "report.html").read_text() == "page"


@pytest.mark.parametrize("mark", [None, "{", "[]", '{"made_by": "toy.width_map"}', "x" * 10_000])
def test_a_folder_of_somebody_else_is_left_as_it_was(tmp_path, mark):
    (tmp_path / "report.html").write_text("mine")
    if mark is not None:
        (tmp_path / MARK).write_text(mark)
    before = sorted((path.name, path.read_bytes()) for path in tmp_path.iterdir())
    with pytest.raises(RunDirectoryError, match="is not empty and was not made by"):
        claim_output_folder(tmp_path, "deep.report")
    assert sorted((path.name, path.read_bytes()) for path in tmp_path.iterdir()) == before
