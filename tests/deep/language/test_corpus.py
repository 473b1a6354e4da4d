import re

import numpy as np
import pytest

from deep.language.corpus import PYDOC, CorpusError, read_corpus


def test_the_help_texts_are_read_and_their_end_is_held_out(rng):
    from pydoc_data.topics import topics

    text = "".join(topics[name] for name in sorted(topics))
    corpus = read_corpus(PYDOC, 20)
    assert len(corpus.train) + len(corpus.held_out) == len(text)
    assert len(corpus.held_out) == len(text) // 5
    known = set(corpus.alphabet[1:])
    shown = "".join(c if c in known else "·" for c in text).replace("\n", "⏎")
    assert corpus.decoded(np.concatenate([corpus.train, corpus.held_out])) == shown
    train = corpus.decoded(corpus.train)
    assert all(corpus.decoded(window) in train for window in corpus.real(5, rng))
    held_out = corpus.decoded(corpus.held_out)
    windows = corpus.truth(5, rng)
    assert windows.shape == (5, 20)
    assert all(corpus.decoded(window) in held_out for window in windows)


def test_a_text_of_ones_own(tmp_path):
    (tmp_path / "a.txt").write_text("abcab" * 20)
    corpus = read_corpus(str(tmp_path / "a.txt"), 4)
    assert corpus.alphabet == ("·", "a", "b", "c")
    assert corpus.decoded(corpus.train) == "abcab" * 16


def test_what_is_no_text_is_refused(tmp_path):
    (tmp_path / "a.txt").write_bytes(b"ab\xff" * 100)
    with pytest.raises(CorpusError, match=r"a.txt is no UTF-8 text: invalid start byte at 2"):
        read_corpus(str(tmp_path / "a.txt"), 4)
    (tmp_path / "b.txt").write_text("ab")
    with pytest.raises(CorpusError, match=r"b.txt has 2 characters; windows of 4 need at least 25"):
        read_corpus(str(tmp_path / "b.txt"), 4)
    missing = tmp_path / "c.txt"
    with pytest.raises(CorpusError, match=re.escape(f"{missing}: No such file")):
        read_corpus(str(missing), 4)
