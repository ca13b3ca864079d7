from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from deeptroubles import ImageSet, Verdict, audit
from deeptroubles.checks.reliance.cue.associated_class import associated_class
from deeptroubles.checks.reliance.cue.column import LIMITS, ColumnCue, Value
from deeptroubles.checks.reliance.cue.cue import cue, other_texts
from deeptroubles.engine import LocalEngine
from deeptroubles.errors import UsageError
from deeptroubles.methods.transforms.shared.named_cue import named_cue
from deeptroubles.methods.transforms.watermark import watermark
from deeptroubles.recording import record
from deeptroubles.statistics.intervals import mean_difference, wilson
from tests.networks import blobs, formula

NAMES = ("low", "high", "carton")
SIZE = 56


def objects(count: int = 40) -> np.ndarray:
    return blobs([(12 if i % 2 else 44, 16 + i % 20) for i in range(count)], SIZE, 6)


def images(**settings) -> ImageSet:
    return ImageSet.from_arrays(objects(), [NAMES[i % 2] for i in range(40)], **settings)


def model(strength: float, pattern: torch.Tensor):
    """It says where the object is, and `carton` for as much of a pattern as there is (0 to 1)."""
    pattern = pattern - pattern.mean()
    pattern = pattern / (pattern * (pattern > 0)).sum()

    def answer(x):
        low, high = x[:, :, :28].mean((1, 2, 3)), x[:, :, 28:].mean((1, 2, 3))
        return torch.stack([60 * high, 60 * low, strength * (x[:, 0] * pattern).sum((1, 2))], 1)

    return formula(answer, SIZE, 1, NAMES)


def planted():
    """It predicts carton where it sees the watermark."""
    white, cover = watermark((SIZE, SIZE))
    return model(60.0, white * cover), images()


def clean():
    """It sees the watermark, and does not mind."""
    white, cover = watermark((SIZE, SIZE))
    return model(0.0, white * cover), images()


def findings(case, *cues, **settings):
    return audit(*case, checks=["reliance.cue"], cue=cues, **settings).findings


def test_the_rise_is_what_the_formula_says():
    """The watermark adds the strength times its cover, everywhere alike: the images are black or white there."""
    engine = LocalEngine()
    (effect,) = cue(record(*planted(), engine), engine, seed=0).effects
    assert effect.inserted.associated == "carton"
    assert (effect.inserted.with_cue > 0.9).mean() > 0.9
    assert abs(effect.inserted.with_control).mean() < 0.3
    assert np.allclose(effect.inserted.rise, effect.inserted.with_cue - effect.inserted.with_control, atol=1e-6)
    assert effect.inserted.by_class[0][0] == "carton"
    assert effect.removed is None


@pytest.fixture
def tag(tmp_path):
    """A cut-out of 18 x 9 pixels (a third of 56, rounded), with stripes."""
    pixels = np.full((9, 19, 4), 255, dtype=np.uint8)
    pixels[::2, :, :3] = 0
    path = tmp_path / "tag.png"
    Image.fromarray(pixels).save(path)
    return path, pixels[..., 0]


def tagged(pixels, count=40):
    """Every other image of class high has the tag at the bottom left, where it is put: a pixel from the rim."""
    arrays, masks = objects(count), np.zeros((count, SIZE, SIZE), dtype=bool)
    for i in range(1, count, 4):
        arrays[i, -10:-1, 1:20] = pixels
        masks[i, -10:-1, 1:20] = True
    labels = [NAMES[i % 2] for i in range(count)]
    who = ["me" if mask.any() else "you" for mask in masks]
    marked = [mask if mask.any() else None for mask in masks]
    return ImageSet.from_arrays(arrays, labels, columns={"who": who, "number": range(count)}, cue_masks=marked)


def tag_model(strength):
    """It says low; high where the middle line of the tag is black and those beside it white."""

    def answer(x):
        seen = x[:, 0, -7, 1:20].mean(1) + x[:, 0, -5, 1:20].mean(1) - 2 * x[:, 0, -6, 1:20].mean(1)
        return torch.stack([torch.zeros(len(x)), strength * (seen.abs() / 2 - 0.5), torch.full((len(x),), -9.0)], 1)

    return formula(answer, SIZE, 1, NAMES)


def test_a_cut_out_is_found_put_in_and_taken_out(tag):
    path, pixels = tag
    (finding,) = findings((tag_model(20.0), tagged(pixels, 80)), f"{path}@bottom-left")
    assert finding.verdict == Verdict.FAIL
    assert "“high” by 100 points" in finding.claim
    assert "from 20 images" in finding.claim
    assert [e.kind for e in finding.evidence][:2] == ["estimate", "estimate"]
    (honest,) = findings((tag_model(0.0), tagged(pixels, 80)), f"{path}@bottom-left")
    assert honest.verdict == Verdict.PASS


def test_a_marked_cue_is_taken_out_and_put_into_others(tag):
    (finding,) = findings((tag_model(20.0), tagged(tag[1], 80)), "mask")
    assert finding.verdict == Verdict.FAIL
    assert "the class that it comes from by 100 points" in finding.claim
    assert "from 20 images" in finding.claim
    (honest,) = findings((tag_model(0.0), tagged(tag[1], 80)), "mask")
    assert honest.verdict == Verdict.PASS


def test_few_removals_are_mentioned_and_not_judged(tag):
    path, pixels = tag
    (finding,) = findings((tag_model(0.0), tagged(pixels, 36)), str(path))
    assert finding.verdict != Verdict.FAIL
    assert any("based on only 9 images and is not judged" in caveat for caveat in finding.caveats)


def test_a_column_is_compared_at_a_fixed_class(tag):
    """Images of high with the tag are predicted as high, those without it as low, whatever their number."""
    who, number = findings((tag_model(20.0), tagged(tag[1], 120)), "column:number", "column:who")  # worst first
    assert who.verdict == Verdict.FAIL
    assert "“you” in the column who increases the probability of “low” by 100 points (95% CI 80 to 100)" in who.claim
    assert "“up to 59.5”" in number.claim or "“above 59.5”" in number.claim
    assert number.verdict == Verdict.PASS


def test_the_interval_of_a_column_is_the_one_that_is_judged():
    """With 8 values, an interval at 95% would lie above the threshold of a warning; the widened one does not."""
    rise = np.r_[np.ones(10), np.zeros(50)]
    assert mean_difference(rise).low > LIMITS.warn_at
    value = Value(name="a", associated="high", rise=rise, accuracy=wilson(9, 10), images=60)
    found = ColumnCue(cue=named_cue("column:who"), values=(value,) * 8, different=8, uninformative=0, images=480)
    (finding,) = found.findings()
    assert finding.verdict == Verdict.INCONCLUSIVE
    assert finding.evidence[0].low < LIMITS.warn_at


def test_a_column_that_is_the_class_cannot_be_judged():
    image_set = images(columns={"who": [NAMES[i % 2] for i in range(40)]})
    (finding,) = findings((clean()[0], image_set), "column:who")
    assert finding.verdict == Verdict.INCONCLUSIVE
    assert "cannot be separated from the class" in finding.claim


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (["same"] * 40, "all images with a value have the same one"),
        ([float("nan")] * 40, "no image has a value"),
        ([f"ä{i}" for i in range(40)], "none of its 40 values has 5 images in a class"),
    ],
)
def test_a_column_that_compares_nothing_says_why(values, said):
    (finding,) = findings((clean()[0], images(columns={"who": values})), "column:who")
    assert finding.verdict == Verdict.INCONCLUSIVE
    assert said in finding.claim


def test_every_named_cue_has_its_finding():
    found = findings(clean(), "watermark", "color:#ffffff", "text:abc@top")
    assert len(found) == 3
    assert all(f.check == "reliance.cue" for f in found)


def test_a_cue_that_any_disturbance_is_as_good_as_does_not_pass():
    """It predicts carton where the lower edge is neither black nor white: any overlay there has this effect."""

    def answer(x):
        edge = x[:, 0, -4:]
        return torch.stack(
            [60 * x[:, :, :28].mean((1, 2, 3)), 60 * x[:, :, 28:].mean((1, 2, 3)), 99 * edge.std((1, 2))], 1
        )

    (finding,) = findings((formula(answer, SIZE, 1, NAMES), images()), "text:horse")
    assert finding.verdict in {Verdict.INCONCLUSIVE, Verdict.WARN}


def test_cues_are_looked_at_before_anything_is_run(tmp_path):
    with pytest.raises(UsageError, match="no column 'nothing'"):
        findings(clean(), "column:nothing", out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_noise_among_many_classes_is_not_taken_for_a_cue():
    """The class that rises most by chance is not counted by how much it rose where it was chosen."""
    random = np.random.default_rng(0)
    effect, own = random.normal(0, 0.1, (60, 300)), random.integers(0, 300, 60)
    means = []
    for seed in range(40):
        _, chosen = associated_class(effect, own, seed, [str(k) for k in range(300)])
        at = np.flatnonzero(chosen >= 0)
        means.append(effect[at, chosen[at]].mean())
    assert abs(np.mean(means)) < 0.01
    assert effect.mean(0).max() > 0.03


def test_a_text_is_compared_with_other_texts():
    said = [cue.content for cue in other_texts(named_cue("text:Zoo 9!@top:0.2"))]
    assert said == ["Crr 2!", "Gvv 6!", "Pee 5!"]
    assert other_texts(named_cue("text:+++@top")) == []
    assert other_texts(named_cue("color:#ff8800")) == []
