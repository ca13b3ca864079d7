"""Whatever is wrong with the images, every check says so in a sentence and the audit goes on."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from deeptroubles import Verdict, audit, load_images
from tests.digits import NAMES, trained, unseen

COLUMNS = ("same", "each", "nothing", "half", "endless", "unicode", "site", "split", "country", "lat")


def manifest(folder, count: int):
    """Digits with masks of two sizes, columns that no check can use as they are, and two files that cannot be read."""
    pixels, labels = unseen(count)
    rows = []
    for i, digit in enumerate((255 * pixels[:, 0]).byte().numpy()):
        for kind, shown in (("ä 馬", digit), ("mask", 255 * (digit > 60)), ("cue", 255 * (np.indices((8, 8))[0] > 5))):
            wrong = kind != "ä 馬" and i % 3 == 2  # a mask of another size
            Image.fromarray((shown[:5] if wrong else shown).astype(np.uint8)).save(folder / f"{kind}{i}.png")
        rows.append(
            {
                "path": f"ä 馬{i}.png",
                "label": NAMES[labels[i]],
                "mask": f"mask{i}.png",
                "cue_mask": f"cue{i}.png",
                "same": "x",
                "each": f"g{i}",
                "nothing": np.nan,
                "half": i if i % 2 else np.nan,
                "endless": np.inf if i % 3 == 0 else i,
                "unicode": ["ä", "馬", "", "🙂"][i % 4],
                "site": "AB"[i // 2 % 2],
                "split": ["train", "test"][i % 2],
                "country": ["us", "USA", "deu", "zzz", "Congo", ""][i % 6],
                "lat": [200, 48.1, np.nan][i % 3],
                "lon": [10, 500, 11.5][i % 3],
            }
        )
    (folder / "broken.png").write_bytes(b"no picture")
    rows += [{**rows[0], "path": "missing.png"}, {**rows[0], "path": "broken.png"}]
    return pd.DataFrame(rows)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("count", [1, 3, 40])
@pytest.mark.parametrize("labels", ["as they are", "of one class", "of no class", "missing"])
def test_no_check_crashes(count, labels, tmp_path):
    table = manifest(tmp_path, count)
    if labels == "missing":
        table = table.drop(columns="label")
    elif labels != "as they are":
        table["label"] = NAMES[0] if labels == "of one class" else "horse"
    table.to_csv(tmp_path / "manifest.csv", index=False)
    cues = ("watermark", "mask", "text:AB@top", "color:#ff0000", *(f"column:{name}" for name in COLUMNS))
    (tmp_path / "concept").mkdir()
    for i in range(2):
        Image.fromarray(np.full((9, 5), 99 * i, dtype=np.uint8)).save(tmp_path / "concept" / f"{i}.png")
    given = {"cue": cues, "concept": (str(tmp_path / "concept"),), "group": COLUMNS[:7]}
    found = audit(
        trained(), load_images(str(tmp_path / "manifest.csv")), checks=["reliance", "data", "fairness"], **given
    )
    assert [f.claim for f in found.findings if f.verdict == Verdict.ERROR] == []
    assert found.images.unreadable[-1].path == "broken.png"
    assert {f.check for f in found.findings} >= {"data.geography", "fairness.groups", "reliance.shortcut"}
