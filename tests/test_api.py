"""What `import deeptroubles` offers, and the example on its first lines."""

from __future__ import annotations

import inspect
import re
import shutil
import textwrap

import deeptroubles
from deeptroubles.findings import findings_to_json
from deeptroubles.images.demo import load_demo


def test_what_is_offered_is_sorted_and_there_and_documented():
    assert deeptroubles.__all__ == sorted(deeptroubles.__all__)
    assert len(set(deeptroubles.__all__)) == len(deeptroubles.__all__)
    for name in deeptroubles.__all__:
        offered = getattr(deeptroubles, name)
        text = inspect.getdoc(offered) or ""
        assert re.match(r"[A-Z][^\n]+[.:?]", text), name
        if inspect.isfunction(offered):
            missing = [p for p in inspect.signature(offered).parameters if not re.search(rf"\b{p}\b", text)]
            assert not missing, (name, missing)


def test_everything_public_that_is_imported_is_offered():
    public = {name for name, value in vars(deeptroubles).items() if name[0] != "_" and not inspect.ismodule(value)}
    assert public <= set(deeptroubles.__all__)


def test_the_example_works(tmp_path, monkeypatch):
    """As it stands, on five photographs and with the quickest check."""
    example = textwrap.dedent((deeptroubles.__doc__ or "").split("\n\n", 1)[1])
    assert len(example.strip().splitlines()) <= 6
    demo = load_demo()
    for index in [i for i, label in enumerate(demo.table["label"]) if label][:5]:
        label = demo.table["label"][index]
        (tmp_path / "photos" / label).mkdir(parents=True, exist_ok=True)
        shutil.copy(demo.fetch(index), tmp_path / "photos" / label)
    monkeypatch.chdir(tmp_path)
    quick = example.replace('out="runs/first"', 'out="runs/first", checks=["performance.accuracy"]')
    assert quick != example
    names: dict[str, object] = {}
    exec(quick, names)  # noqa: S102 (the example is ours)
    result = names["audit"]
    assert isinstance(result, deeptroubles.Audit)
    assert result.status == "complete"
    assert result.images.labelled == len(list((tmp_path / "photos").rglob("*.*")))
    held = deeptroubles.read_audit(tmp_path / "runs" / "first")
    assert findings_to_json(held.findings) == findings_to_json(result.findings)
    deeptroubles.write_report(result, tmp_path / "report.html")
    assert result.findings[0].claim in (tmp_path / "report.html").read_text(encoding="utf-8")
