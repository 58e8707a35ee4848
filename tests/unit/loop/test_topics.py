"""`_topics.yaml`: titles in their order, and every fault with its place."""

from __future__ import annotations

from pathlib import Path

import pytest

from skene_airflow.cli import main
from skene_airflow.loop.topics import read_topics, title_of


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "loops"
    folder.mkdir()
    return folder


def test_titles_in_the_order_of_the_file(root: Path) -> None:
    assert read_topics(root).titles == {}
    (root / "_topics.yaml").write_text("# ours\nnews: ' News '\nproduct_tips: Tipps & Tricks\n", encoding="utf-8")
    found = read_topics(root)
    assert list(found.titles.items()) == [("news", "News"), ("product_tips", "Tipps & Tricks")]
    assert found.faults == ()
    assert title_of("re_engagement", found.titles) == "Re engagement"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("news: a\nnews: b\n", "2:1: the key 'news' is written twice"),
        ("Product-Tips: a\n", "1:1: Product-Tips: 'Product-Tips' cannot be a topic; "),
        ("news: {title: a}\n", "1:7: news: the title of a topic is text; "),
        ("a: A\nnews: no\nx: 7\n", "3:4: x: the title of a topic is text; "),
        ("news:\n", "1:6: news: the title of a topic is text; "),
        ('news: "  "\n', "1:1: news: the title is empty; "),
        ('news: "a\\nb"\n', "1:1: news: a title is one line of text; "),
        (f"news: {'a' * 101}\n", "1:1: news: a title is one line of text; "),
        ("- news\n", "1:1: the file is not a map of topics; "),
        ("news: a: b\n", "1:8: "),
        ("", "1:1: "),
    ],
)
def test_a_fault_says_where_and_what_to_write(
    root: Path, text: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (root / "_topics.yaml").write_text(text, encoding="utf-8")
    found = read_topics(root)
    assert found.titles == {}
    assert str(found.faults[0]).startswith(f"loops/_topics.yaml:{said}")
    assert main(["validate", "--loops", str(root)]) == 1
    assert f"_topics.yaml:{said}" in capsys.readouterr().out
