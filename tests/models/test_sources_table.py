"""The table of docs/sources.md: every cell is tried on a real architecture."""

from __future__ import annotations

import re
import warnings
from pathlib import Path

import pytest
import torch
from tests.models.sources import SOURCES as EXAMPLES
from tests.photographs import crops

import deeptroubles as dt
from deeptroubles.errors import DeeptroublesError
from deeptroubles.models import SOURCES
from deeptroubles.network import open_network, unit_layers
from deeptroubles.subject import logits_of

PAGE = Path(__file__).parents[2] / "docs" / "sources.md"
IMAGES = 12
NEEDS = {"FILE.onnx": "onnx2torch", "FILE.keras": "keras", "hf:NAME": "transformers", "clip:NAME": "transformers"}
NEEDS |= {"timm:NAME": "timm", "torchvision:NAME": "torchvision", "FILE.pt2": "torchvision", "FILE.ts": "torchvision"}


def table():
    """Rows by the form of the source, cells by column."""
    lines = re.findall(
        r"^\|(.+)\|$", PAGE.read_text().partition("## What works")[2].partition("\n## ")[0], re.MULTILINE
    )
    head, _, *rows = ([cell.strip() for cell in line.split("|")] for line in lines)
    return {row[0].strip("`"): dict(zip(head[1:], row[1:], strict=True)) for row in rows}


TABLE = table()


@pytest.fixture(scope="module", params=EXAMPLES)
def example(request, tmp_path_factory):
    """The form of a source, a classifier of it, and labelled images."""
    import sys

    form = request.param
    if package := NEEDS.get(form):
        import importlib.util

        if importlib.util.find_spec(package) is None:
            pytest.skip(f"{package} is an optional dependency")
    folder = tmp_path_factory.mktemp("source")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.syspath_prepend(str(folder))
        sys.modules.pop("my_models", None)
        torch.manual_seed(0)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            classifier = EXAMPLES[form](folder)
        sys.modules.pop("my_models", None)
    pictures = (crops(IMAGES, 64) * 255).round().byte().permute(0, 2, 3, 1).numpy()
    images = dt.ImageSet.from_arrays(pictures, [classifier.class_names[i % 4] for i in range(IMAGES)])
    return form, classifier, images


def pixels(classifier, images, count=2):
    return torch.stack([classifier.prepare(images[i]) for i in range(count)])


def audit(classifier, images, _folder):
    found = dt.audit(classifier, images, checks=["performance.accuracy", "performance.calibration", "units.dead"])
    assert len(found.findings) >= 3
    assert not [finding for finding in found.findings if finding.verdict.value == "error"]


def grad_cam(classifier, images, _folder):
    maps = dt.grad_cam(classifier, pixels(classifier, images), 1)
    assert maps.ndim == 3
    assert torch.isfinite(maps).all()
    assert maps.any()


def occlusion(classifier, images, _folder):
    side = classifier.size[0] // 2
    maps = dt.occlusion(classifier, pixels(classifier, images), 1, window=side, stride=side)
    assert maps.shape == (2, *classifier.size)
    assert maps.any()


def pgd(classifier, images, _folder):
    inputs = pixels(classifier, images)
    with torch.no_grad():
        labels = logits_of(classifier, inputs).argmax(1)
        result = dt.attacks.pgd(classifier, inputs, labels, steps=5)
        changed = logits_of(classifier, result.images).argmax(1) != labels
    assert (result.images - inputs).abs().max() <= 8 / 255 + 1e-6
    assert torch.equal(result.success, changed)


def unit_pages(classifier, images, folder):
    layers = [layer.name for layer in unit_layers(open_network(classifier))][-1:]
    kept = dt.analyze_units(classifier, images, folder, layers or None, samples=4)
    found = {entry.technique: kept.table(entry) for entry in kept.entries()}
    assert found["samples"].notna().any(axis=None)


COLUMNS = {"audit": audit, "Grad-CAM": grad_cam, "occlusion": occlusion, "PGD": pgd, "unit pages": unit_pages}


def test_every_source_has_a_row_and_an_example():
    assert list(TABLE) == list(EXAMPLES)
    assert {source.form for source in SOURCES} <= TABLE.keys()
    assert all(list(row) == list(COLUMNS) for row in TABLE.values())


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("column", COLUMNS)
def test_what_the_table_says_is_so(example, column, tmp_path):
    form, classifier, images = example
    cell = TABLE[form][column]
    if cell == "yes":
        COLUMNS[column](classifier, images, tmp_path)
    else:
        with pytest.raises(DeeptroublesError) as caught:
            COLUMNS[column](classifier, images, tmp_path)
        assert cell in str(caught.value)
