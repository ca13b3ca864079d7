"""Cues that reliance.shortcut finds in one run, asked about in another one by `--cue run:`."""

from __future__ import annotations

import io
import json
import re
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from deeptroubles import ImageSet, Verdict, audit
from deeptroubles.checks.reliance.shortcut.candidates import FIXED, LOOSE, Candidate
from deeptroubles.checks.reliance.shortcut.found_cues import keep_cues, names_of
from deeptroubles.errors import RunFolderError, UsageError
from deeptroubles.findings import ImageGrid
from deeptroubles.methods.reliance.treatments import change
from deeptroubles.methods.transforms.shared.named_cue import named_cues
from deeptroubles.run.cues import FoundCue, read_cues, write_cue
from deeptroubles.run.folder import RunFolder
from deeptroubles.subject import Subject
from tests.networks import formula

NAMES, SIZE, COUNT = ("left", "right"), 32, 60
TAG = torch.randint(0, 2, (3, 5, 9), generator=torch.Generator().manual_seed(1)).float()


def photographs(seed: int, *, tagged: bool) -> ImageSet:
    """Random images whose power falls with frequency, brighter on one side; six in ten on the left have a tag."""
    random = np.random.default_rng(seed)
    frequency = np.hypot(*np.meshgrid(np.fft.fftfreq(SIZE), np.fft.fftfreq(SIZE))) + 1 / SIZE
    noise = np.fft.ifft2(np.fft.fft2(random.normal(size=(COUNT, 3, SIZE, SIZE))) / frequency).real
    pixels = 0.5 + 0.12 * noise / noise.std()
    for i in range(COUNT):
        pixels[i, :, :, : SIZE // 2] += 0.08 if i % 2 == 0 else -0.08
        if tagged and i % 2 == 0 and i % 10 < 6:
            pixels[i, :, 25:30, 1:10] = TAG.numpy()
    arrays = (pixels.clip(0, 1) * 255).round().astype(np.uint8).transpose(0, 2, 3, 1)
    return ImageSet.from_arrays(arrays, [NAMES[i % 2] for i in range(COUNT)])


def relying():
    """It predicts left where the tag is, and otherwise the brighter side."""

    def answer(x):
        off = (x[:, :, 25:30, 1:10] - TAG).square().mean((1, 2, 3))
        sides = x[..., : SIZE // 2].mean((1, 2, 3)) - x[..., SIZE // 2 :].mean((1, 2, 3))
        left = 10 * sides + 12 * (-20 * off).exp()
        return torch.stack([left, -left], 1)

    return formula(answer, SIZE, 3, NAMES)


def test_a_patch_found_in_one_run_is_asked_about_in_another(tmp_path):
    (found,) = audit(relying(), photographs(0, tagged=True), tmp_path / "run", checks="reliance.shortcut").findings
    assert found.verdict == Verdict.FAIL
    assert "18 of 30 images of left have the same patch (bottom left)" in found.claim
    assert re.search(r"relative to controls, the prediction moves by \d+ points \(95% CI \d+ to \d+\)\.$", found.claim)
    assert any("--cue run:FOLDER/left-bottom-left" in caveat for caveat in found.caveats)
    cut, pasted, *_ = (
        e for e in found.evidence if isinstance(e, ImageGrid) if e.title.startswith(("The patch", "Pasted"))
    )
    assert cut.items[0].note.startswith("without it ")
    assert pasted.title == "Pasted into an image of right"

    with Image.open(tmp_path / "run" / "cues" / "left-bottom-left.png") as picture:
        assert (picture.size, picture.mode) == ((SIZE, SIZE), "RGBA")
        pixels = torch.from_numpy(np.array(picture)).permute(2, 0, 1) / 255
    inside = pixels[3, 25:30, 1:10] == 1
    assert inside.float().mean() > 0.9
    assert torch.equal(pixels[:3, 25:30, 1:10][:, inside], TAG[:, inside])  # the median of carriers is the tag
    assert pixels[3].sum() < 2 * TAG[0].numel()
    assert not pixels[:3, pixels[3] == 0].any()

    table = pd.read_parquet(tmp_path / "run" / "tables" / "cues.parquet")
    assert list(table) == ["cue", "class", "image", "probability", "probability_without"]
    assert (len(table), set(table["cue"]), set(table["class"])) == (18, {"left-bottom-left"}, {"left"})
    assert (table["probability"] - table["probability_without"]).mean() > 0.1

    for cue in (f"run:{tmp_path / 'run'}", f"run:{tmp_path / 'run'}/left-bottom-left"):
        (asked,) = audit(relying(), photographs(1, tagged=False), checks="reliance.cue", cue=cue).findings
        assert asked.verdict == Verdict.FAIL
        assert "the cue left-bottom-left of another run" in asked.claim
        assert "the probability of “left”" in asked.claim


def subject(images: torch.Tensor) -> Subject:
    arrays = (images * 255).round().byte().permute(0, 2, 3, 1).numpy()
    labels = ["left"] * len(images)
    return Subject(relying(), ImageSet.from_arrays(arrays, labels), np.zeros(len(images), dtype=np.int64))


def found_in(name: str, count: int, masks: np.ndarray, amount: float = 0.0, **more):
    candidate = Candidate(0, name, amount, tuple(range(count)), masks)
    carriers = [(row, 0.75, 0.25) for row in range(count)]
    return SimpleNamespace(candidate=candidate, class_name="Left, or so", carriers=carriers, **more)


def test_a_patch_at_varying_places_is_kept_as_its_crop(tmp_path):
    images, masks = torch.rand(5, 3, SIZE, SIZE), np.zeros((5, SIZE, SIZE), dtype=bool)
    for i, (top, left) in enumerate([(0, 23), (1, 20), (27, 0), (2, 23), (14, 30)]):  # the last one is cut off
        images[i, :, top : top + 5, left : left + 9] = TAG[:, :, : SIZE - left]
        masks[i, top : top + 5, left : left + 9] = True
    folder = RunFolder(tmp_path, {})
    keep_cues(names_of([found_in(LOOSE, 5, masks)]), subject(images), folder)
    ((cue, picture),) = read_cues(str(tmp_path))
    assert cue == FoundCue(name="left-or-so-patch", place="top-right", size=9 / SIZE)
    with Image.open(picture) as opened:
        pixels = np.asarray(opened)
    assert np.array_equal(pixels[..., :3], (TAG * 255).byte().permute(1, 2, 0).numpy())
    assert (pixels[..., 3] == 255).all()


def test_a_treatment_is_applied_as_it_was_found(tmp_path):
    images = photographs(3, tagged=False)
    darkened = found_in(
        "darkening", 4, np.zeros((0, 0, 0), bool), 0.6, recipients=np.arange(8), controls=("brightening",)
    )
    pixels = torch.from_numpy(np.stack([np.asarray(images[i]) for i in range(COUNT)])).permute(0, 3, 1, 2) / 255
    keep_cues(names_of([darkened]), subject(pixels), RunFolder(tmp_path, {}))
    (named,) = named_cues(f"run:{tmp_path}/left-or-so-darkening")
    assert (named.kind, named.content, named.amount) == ("treatment", "darkening", 0.6)
    ((control, amount),) = named.controls
    changes = [change(pixels[:8], *each) for each in (("darkening", 0.6), (control, amount))]
    assert changes[0] == pytest.approx(changes[1], rel=0.1)

    def answer(x):
        dark = 40 * (0.4 - x.mean((1, 2, 3)))
        return torch.stack([dark, -dark], 1)

    (asked,) = audit(
        formula(answer, SIZE, 3, NAMES), images, checks="reliance.cue", cue=f"run:{tmp_path}/left-or-so-darkening"
    ).findings
    assert asked.verdict == Verdict.FAIL
    assert "the probability of “left”" in asked.claim
    assert any("controls are treatments" in caveat for caveat in asked.caveats)


def test_names_are_plain_and_differ():
    corner, none = np.zeros((1, SIZE, SIZE), dtype=bool), np.zeros((0, 0, 0), dtype=bool)
    corner[0, 28:, 28:] = True
    found = [found_in(FIXED, 1, corner), found_in(FIXED, 1, corner), found_in("a red cast", 1, none, 0.3)]
    assert list(names_of(found)) == ["left-or-so-bottom-right", "left-or-so-bottom-right-2", "left-or-so-red-cast"]


@pytest.mark.parametrize(
    ("where", "said"),
    [
        ("nowhere", "There is no run in .*give run:FOLDER"),
        ("run/frg-top", "found no cue 'frg-top'; it found frog-top. Did you mean frog-top"),
        ("empty", "found no cue; give run:FOLDER"),
        ("other", "did not look for cues; audit with reliance.shortcut"),
        ("outside", "outside of its run folder"),
        ("damaged", "cannot be read; run that audit again"),
        ("much", "is damaged; run that audit again"),
    ],
)
def test_a_cue_that_cannot_be_had_says_what_to_do(where, said, tmp_path):
    runs = {name: RunFolder(tmp_path / name, {}) for name in ("run", "empty", "other", "outside", "damaged", "much")}
    write_cue(runs["run"], FoundCue(name="frog-top", place="everywhere"), png())
    write_cue(runs["much"], FoundCue(name="frog-blur", treatment="blur", amount=1e6))
    for name, cues in {
        "run": ["frog-top"],
        "empty": [],
        "outside": ["../run"],
        "damaged": ["x"],
        "much": ["frog-blur"],
    }.items():
        runs[name].write_table("cues", pd.DataFrame({"cue": cues}))
    (tmp_path / "damaged" / "cues").mkdir()
    (tmp_path / "damaged" / "cues" / "x.json").write_text(json.dumps({"name": 3}))
    with pytest.raises((RunFolderError, UsageError), match=said):
        named_cues(f"run:{tmp_path / where}")


def png() -> bytes:
    buffer = io.BytesIO()
    Image.new("RGBA", (4, 4), "red").save(buffer, "PNG")
    return buffer.getvalue()
