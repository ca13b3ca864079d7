from __future__ import annotations

from functools import cache

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from deeptroubles import Classifier, ImageSet, Verdict, audit
from deeptroubles.checks.units import label_detectors as module
from deeptroubles.checks.units.label_detectors import label_detectors
from deeptroubles.engine import LocalEngine
from deeptroubles.recording import record
from tests.networks import formula

COUNT, SIZE = 500, (12, 14)


@cache
def data():
    """Noisy bars that lie or stand; a red tag in a corner of 80 % of those that stand and of 20 % of the others."""
    random = np.random.default_rng(0)
    stands = random.random(COUNT) < 0.5
    tagged = random.random(COUNT) < np.where(stands, 0.8, 0.2)
    pictures = random.integers(0, 80, (COUNT, *SIZE, 3), dtype=np.uint8)
    for picture, standing, tag in zip(pictures, stands, tagged, strict=True):
        middle = random.integers(5, 9)
        bar = picture[:, middle : middle + 2] if standing else picture[middle - 2 : middle]
        bar += np.uint8(15)
        if tag:
            picture[:3, :3] = (250, 10, 10)
    return pictures, stands, tagged


class Small(nn.Sequential):
    def __init__(self):
        with torch.random.fork_rng():
            torch.manual_seed(0)
            super().__init__(
                nn.Conv2d(3, 8, 3, stride=2),
                nn.ReLU(),
                nn.Conv2d(8, 8, 3),
                nn.ReLU(),
                nn.AdaptiveMaxPool2d(1),
                nn.Flatten(),
                nn.Linear(8, 2),
            )


@cache
def weights():
    """Trained to recognize bars that stand, for which the tag is of some use."""
    pictures, stands, _ = data()
    pixels, target = torch.from_numpy(pictures).permute(0, 3, 1, 2) / 255, torch.from_numpy(stands).long()
    network = Small()
    optimizer = torch.optim.Adam(network.parameters(), 0.01)
    for _ in range(80):
        optimizer.zero_grad()
        functional.cross_entropy(network(pixels), target).backward()
        optimizer.step()
    return network.state_dict()


def classifier():
    network = Small()
    network.load_state_dict(weights())
    return Classifier(network, size=SIZE, class_names=["lies", "stands"])


def images(column):
    pictures, stands, _ = data()
    labels = np.where(stands, "stands", "lies").tolist()
    return ImageSet.from_arrays(pictures, labels, {} if column is None else {"source_tag": column})


def planted():
    """The network was trained where a tag is of use, and the images say which of them have it."""
    return classifier(), images(np.where(data()[2], "yes", "no"))


def clean():
    """The same network and images; the column is random."""
    return classifier(), images(np.where(np.random.default_rng(1).random(COUNT) < 0.5, "yes", "no"))


def ask(case):
    engine = LocalEngine()
    return label_detectors(record(*case, engine), engine, seed=0)


def test_the_unit_that_is_named_detects_the_tag():
    result = ask(planted())
    best = result.detectors[0]
    assert result.layer == "3"
    assert result.attributes.names[best.attribute] == "source_tag=yes"
    network, (pictures, stands, tagged) = classifier().module, data()
    with torch.no_grad():
        features = nn.Sequential(*list(network)[:4])
        seen = features(torch.from_numpy(pictures).permute(0, 3, 1, 2) / 255).amax((2, 3))[:, best.unit].numpy()
    pairs = [
        (seen[stands == side][tagged[stands == side]][:, None] > seen[stands == side][~tagged[stands == side]]).ravel()
        for side in (False, True)
    ]
    assert best.within.value == pytest.approx(np.concatenate(pairs).mean(), abs=0.01)  # but for ties, and folding
    assert best.purity == 1


def test_what_is_judged_is_the_highest_of_all_intervals():
    result = ask(planted())
    words = [i for i, name in enumerate(result.attributes.names) if name.startswith("source_tag")]
    found = [result.table.detector(unit, word).within for unit in range(10) for word in words]
    assert result.strongest_detection == tuple(max(column) for column in zip(*found, strict=True))


def test_the_finding_names_the_unit_and_shows_its_images():
    (finding,) = audit(*planted(), checks=["units.label_detectors"]).findings
    unit = ask(planted()).detectors[0].unit
    assert f"Unit {unit} of layer 3 detects 'source_tag=yes'" in finding.claim
    assert "of 2 classes have a detector in layer 3" in finding.claim
    grid = next(e for e in finding.evidence if e.kind == "image_grid")
    assert [item.note for item in grid.items] == ["source_tag=yes"] * 9
    words, classes = (e for e in finding.evidence if e.kind == "table")
    assert {row[0] for row in words.rows} == {"source_tag=yes", "source_tag=no"}
    assert {row[0] for row in classes.rows} == {"lies", "stands"}
    assert any("reliance" in caveat for caveat in finding.caveats)


def test_a_word_that_is_the_label_itself_is_not_held_against_it():
    column = np.where(data()[1], "north", "south")
    (finding,) = audit(classifier(), images(column), checks=["units.label_detectors"]).findings
    assert finding.verdict == Verdict.INCONCLUSIVE
    assert any("not separable from the class" in c and "source_tag=north" in c for c in finding.caveats)


def test_a_logit_can_be_the_detector():
    """A classifier without features, whose second logit is the brightness that the column gives."""
    random = np.random.default_rng(0)
    bright = random.random(200) < 0.5
    pictures = random.integers(0, 90, (200, 4, 4), dtype=np.uint8) + np.where(bright, 120, 0)[:, None, None]
    images = ImageSet.from_arrays(pictures.astype(np.uint8), random.choice(["a", "b"], 200), {"flash": bright})

    def network(x):
        return torch.stack([x[:, 0, 0, 0] * 0 + 3, x.mean((1, 2, 3))], 1)

    (finding,) = audit(formula(network, 4, 1, ["a", "b"]), images, checks=["units.label_detectors"]).findings
    assert finding.verdict == Verdict.FAIL
    assert finding.claim.startswith("The logit of b detects 'flash=True'")


@pytest.mark.parametrize("count", [15, COUNT])
def test_without_a_column_only_classes_are_listed(count):
    (finding,) = audit(classifier(), images(None).subset(range(count)), checks=["units.label_detectors"]).findings
    assert finding.verdict == Verdict.INCONCLUSIVE
    assert finding.claim.startswith("Inconclusive for attributes other than the label")
    assert [e.kind for e in finding.evidence] == (["table"] if count == COUNT else [])


def test_no_more_than_a_sample_of_the_images_is_looked_at(monkeypatch):
    monkeypatch.setattr(module, "MAX_IMAGES", 300)
    engine = LocalEngine()
    recording = record(*planted(), engine)
    first, second, other = (label_detectors(recording, engine, seed=seed) for seed in (0, 0, 1))
    assert first.images == 300
    assert first.detectors == second.detectors != other.detectors
    assert first.detectors[0].within.value > 0.99
    column = recording.subject.images.table["source_tag"]
    assert [f"source_tag={column[item.picture.row]}" for item in other.strongest.items] == ["source_tag=yes"] * 9
