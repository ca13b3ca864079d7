from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from deeptroubles import Classifier, ImageSet, Verdict, audit, load_images
from deeptroubles.checks.data import correlation as module
from tests.networks import Plain

COUNT = 240
NAMES = ("cat", "dog")


def classifier():
    return Classifier(Plain(classes=2), size=16, class_names=NAMES)


def pictures(seed: int = 0, count: int = COUNT) -> list[np.ndarray]:
    """Noise of many sizes."""
    random = np.random.default_rng(seed)
    return [random.integers(0, 256, (*random.integers(16, 40, 2), 3), dtype=np.uint8) for _ in range(count)]


def labels(seed: int = 0, count: int = COUNT) -> np.ndarray:
    """80 % are dogs."""
    return np.where(np.random.default_rng(seed + 99).permutation(count) < count * 4 // 5, "dog", "cat")


def planted():
    """Cats have a dark frame."""
    shown = pictures()
    for picture, label in zip(shown, labels(), strict=True):
        if label == "cat":
            picture[:2] = picture[-2:] = 10
            picture[:, :2] = picture[:, -2:] = 10
    return classifier(), ImageSet.from_arrays(shown, labels().tolist())


def clean():
    """The same noise and the same unequal classes, without frames."""
    return classifier(), ImageSet.from_arrays(pictures(), labels().tolist())


def ask(images):
    (finding,) = audit(classifier(), images, checks=["data.correlation"]).findings
    return finding


def test_the_frame_is_named_and_the_table_says_so():
    finding = ask(planted()[1])
    assert "The image property '" in finding.claim
    assert "frame" in finding.claim
    table = next(e for e in finding.evidence if e.kind == "table")
    assert [c.name for c in table.columns][:3] == ["property", "source", "predicts"]
    rows = {row[0]: row for row in table.rows}
    assert rows["frame"][1] == "computed"
    assert rows["width"][3] < 0.3
    assert rows["frame"][3] > 0.9  # the corners are of the frame's color, too
    shown = next(e for e in finding.evidence if e.kind == "image_grid")
    assert {item.caption for item in shown.items} == set(NAMES)


def test_noise_of_unequal_classes_passes_whatever_the_seed():
    """The counter-example that Datalab flags."""
    verdicts = [ask(ImageSet.from_arrays(pictures(s), labels(s).tolist())).verdict for s in range(8)]
    assert set(verdicts) <= {Verdict.PASS, Verdict.INCONCLUSIVE}
    assert verdicts.count(Verdict.PASS) >= 6


def test_a_column_that_predicts_the_label_is_named_and_a_random_one_is_not():
    random = np.random.default_rng(5)
    coin = random.choice(["a", "b"], COUNT)
    hospital = np.where(random.random(COUNT) < 0.95, labels() == "dog", labels() != "dog")
    columns = {"coin": coin, "hospital": np.where(hospital, "north", "south"), "id": np.arange(COUNT)}
    names = {**columns, "file": [f"x{i}" for i in range(COUNT)]}
    finding = ask(ImageSet.from_arrays(pictures(), labels().tolist(), names))
    assert finding.verdict == Verdict.FAIL
    assert finding.claim.startswith("The column 'hospital' alone predicts the label")
    rows = {row[0]: row for row in next(e for e in finding.evidence if e.kind == "table").rows}
    assert rows["hospital"][1] == "column"
    assert rows["coin"][5] > 0.05
    assert "file" not in rows  # text that never repeats
    _, distribution = (e for e in finding.evidence if e.kind == "table")
    assert [c.name for c in distribution.columns] == ["hospital", *NAMES]
    assert [row[0] for row in distribution.rows] == ["north", "south"]
    assert np.allclose(np.sum([row[1:] for row in distribution.rows], axis=0), 1, atol=1e-2)


def test_the_format_of_files_is_seen(tmp_path: Path):
    for i, (picture, label) in enumerate(zip(pictures(count=60), ["cat", "dog"] * 30, strict=True)):
        kind = "JPEG" if label == "cat" else "PNG"
        Image.fromarray(picture).save(tmp_path / f"{i}.png", format=kind)  # all are called png
    pd.DataFrame({"path": [f"{i}.png" for i in range(60)], "label": ["cat", "dog"] * 30}).to_csv(
        tmp_path / "all.csv", index=False
    )
    finding = ask(load_images(tmp_path / "all.csv"))
    assert finding.verdict == Verdict.FAIL
    assert finding.claim.startswith("The file format alone predicts the label with a score of 100%")


def test_few_images_of_a_class_say_nothing():
    labels = ["dog"] * 50 + ["cat"] * (module.MIN_IMAGES - 1)
    finding = ask(ImageSet.from_arrays(pictures(count=len(labels)), labels))
    assert finding.verdict == Verdict.INCONCLUSIVE
    assert "1 class has" in finding.claim
    assert any("1 class" in caveat for caveat in finding.caveats)


def test_no_more_than_a_sample_is_looked_at_with_enough_of_each_class(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "MAX_IMAGES", 40)
    rare = ["dog"] * 228 + ["cat"] * 12
    finding = ask(ImageSet.from_arrays(pictures(), rare))
    estimate = finding.evidence[0]
    assert estimate.n == 40
    distribution = [e for e in finding.evidence if e.kind == "table"][1]
    assert [c.name for c in distribution.columns][1:] == list(NAMES)
