from __future__ import annotations

import re
import tempfile
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from deeptroubles import Classifier, ImageSet, Verdict, audit, load_images
from deeptroubles.checks.options import CONCEPT
from deeptroubles.checks.registry import all_checks
from deeptroubles.errors import ImagesError, UsageError
from tests.networks import Untraceable

COUNT, SIZE = 240, 12


def pictures(count: int, seed: int, red: int = 0) -> np.ndarray:
    """Squares of some color on gray noise; with `red` added to all pixels."""
    random = np.random.default_rng(seed)
    found = random.integers(60, 120, (count, SIZE, SIZE, 3), dtype=np.uint8)
    for picture in found:
        y, x = random.integers(0, SIZE - 5, 2)
        picture[y : y + 5, x : x + 5] = random.integers(0, 200, 3)
    found[..., 0] += np.uint8(red)
    return found


@cache
def _kept() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory()


def folder(name: str, shown: np.ndarray) -> str:
    """A folder with these pictures, written once."""
    place = Path(_kept().name) / name
    place.mkdir(exist_ok=True)
    for i, picture in enumerate(shown):
        Image.fromarray(picture).save(place / f"{i:03d}.png")
    return str(place)


def reddish() -> str:
    """Audited pictures, but redder, so that nothing else sets them apart."""
    return folder("reddish", pictures(COUNT, 0, red=8)[:200])


def nothing(seed: int) -> str:
    """A concept whose images are like all others."""
    return folder(f"nothing {seed}", pictures(100, 100 + seed))


def reader(channel: int) -> Classifier:
    """Says 'much' when there is much of a color."""
    network = nn.Sequential(nn.Conv2d(3, 3, 1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 2))
    with torch.no_grad():
        network[0].weight.copy_(torch.eye(3)[:, :, None, None])
        network[0].bias.zero_()
        network[4].weight.zero_()
        network[4].weight[1, channel] = 30
        network[4].bias.copy_(torch.tensor([30 * 0.36, 0.0]))
    return Classifier(network, size=SIZE, class_names=["little", "much"])


def images() -> ImageSet:
    return ImageSet.from_arrays(pictures(COUNT, 0))


def planted():
    """It says how red the image is."""
    return reader(0), images(), {"concept": (reddish(),)}


def clean():
    """It says how blue the image is."""
    return reader(2), images(), {"concept": (reddish(),)}


def ask(classifier, images, options):
    (finding,) = audit(classifier, images, checks=["reliance.concept"], **options).findings
    return finding


def test_the_concept_and_the_class_are_named():
    finding = ask(*planted())
    assert re.match("The concept 'reddish' (in|de)creases the lead of ", finding.claim)
    table = next(e for e in finding.evidence if e.kind == "table")
    effects = {row[1]: row[2] for row in table.rows}
    assert effects["much"] > 0.5
    assert effects["little"] < -0.5
    assert all(row[6] > 0.55 for row in table.rows)  # told apart
    concept, answered = (e for e in finding.evidence if e.kind == "image_grid")
    assert "reddish" in concept.title
    assert len(concept.items) == len(answered.items) == 5


def test_concepts_that_mean_nothing_are_not_flagged_beside_one_that_does():
    options = {"concept": (reddish(), *(nothing(seed) for seed in range(8)))}
    finding = ask(reader(0), images(), options)
    assert finding.verdict == Verdict.FAIL
    table = next(e for e in finding.evidence if e.kind == "table")
    for name, _, effect, interval, p, _, _ in table.rows:
        if name == "reddish":
            assert p < 0.05
        else:
            assert abs(effect) < 0.3
            assert interval.startswith("-")
            assert "to +" in interval
            assert p > 0.05
    only_nothing = {"concept": options["concept"][1:]}
    assert ask(reader(0), images(), only_nothing).verdict in {Verdict.PASS, Verdict.INCONCLUSIVE}


def test_few_images_of_a_concept_are_inconclusive():
    few = folder("few", pictures(5, 1, red=50))
    finding = ask(reader(0), images(), {"concept": (few,)})
    assert finding.verdict == Verdict.INCONCLUSIVE
    assert "Based on only 5 images." in finding.caveats


def test_without_concepts_it_is_skipped_and_says_how_to_give_one():
    finding = ask(reader(0), images(), {})
    assert finding.verdict == Verdict.SKIPPED
    assert "--concept" in finding.claim
    assert CONCEPT in all_checks()["reliance.concept"].needs


def test_what_is_no_concept_is_said_before_any_work(tmp_path: Path):
    one = folder("one", pictures(1, 0))
    same = tmp_path / "reddish"
    same.mkdir()
    for source in load_images(reddish()).table["path"][:3]:
        (same / source).write_bytes((Path(reddish()) / source).read_bytes())
    (tmp_path / "empty").mkdir()
    wrong = [
        (ImagesError, "There are no images in", (str(tmp_path / "empty"),)),
        (ImagesError, "There is nothing at", (str(tmp_path / "nowhere"),)),
        (ImagesError, "has only one image", (one,)),
        (UsageError, "Two concepts are named 'reddish'", (reddish(), str(same))),
    ]
    for kind, message, concepts in wrong:
        with pytest.raises(kind, match=message):
            audit(reader(0), images(), tmp_path / "run", concept=concepts)
    assert not (tmp_path / "run").exists()


def test_images_of_a_concept_that_cannot_be_read_are_counted():
    broken = Path(folder("broken", pictures(20, 1, red=50)))
    (broken / "001.png").write_bytes(b"no picture")
    finding = ask(reader(0), images(), {"concept": (str(broken),)})
    assert finding.verdict == Verdict.FAIL
    assert any(caveat.startswith("1 image") for caveat in finding.caveats)


@pytest.mark.parametrize("count", [1, 3])
def test_very_few_images_are_no_crash(count):
    finding = ask(reader(0), images().subset(range(count)), {"concept": (reddish(),)})
    assert finding.verdict == Verdict.INCONCLUSIVE
    assert "no class is predicted for 10 or more images" in finding.claim


def test_a_network_without_positions_is_no_crash():
    flat = Classifier(nn.Sequential(nn.Flatten(), nn.Linear(3 * SIZE * SIZE, 2)), size=SIZE)
    finding = ask(flat, images(), {"concept": (reddish(),)})
    assert finding.verdict == Verdict.INCONCLUSIVE
    assert "no layer" in finding.claim.lower()


@pytest.mark.filterwarnings("ignore:.*could not be traced")
def test_a_network_that_cannot_be_traced_can_be_asked():
    finding = ask(Classifier(Untraceable(), size=SIZE), images(), {"concept": (reddish(),)})
    assert finding.verdict != Verdict.ERROR
    assert finding.evidence
