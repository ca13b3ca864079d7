from __future__ import annotations

from functools import cache

import numpy as np
import pytest
import torch
from torch import nn

from deeptroubles import Classifier, ImageSet, Verdict, audit
from deeptroubles.checks.fairness.leakage import leakage
from deeptroubles.engine import LocalEngine
from deeptroubles.recording import record
from tests.networks import Untraceable, formula

COUNT = 600


@cache
def data():
    """Pictures whose left half says the label and whose right half says the site, independently of it."""
    random = np.random.default_rng(0)
    label, site = random.integers(2, size=(2, COUNT))
    pictures = random.integers(0, 60, (COUNT, 8, 8), dtype=np.uint8)
    pictures[:, :, :4] += (150 * label).astype(np.uint8)[:, None, None]
    pictures[:, :, 4:] += (150 * site).astype(np.uint8)[:, None, None]
    return pictures, label, site


class Halves(nn.Sequential):
    """The brightness of the left and of the right half, and a linear layer that reads one of them."""

    def __init__(self, reads: int) -> None:
        super().__init__(nn.AdaptiveAvgPool2d((1, 2)), nn.Flatten(), nn.Linear(2, 2))
        weight = torch.zeros(2, 2)
        weight[:, reads] = torch.tensor([-9.0, 9.0])
        self[2].weight.data, self[2].bias.data = weight, torch.tensor([4.0, -4.0])


def case(reads, column=None):
    pictures, label, site = data()
    names = np.array(["dark", "light"])
    column = names[site] if column is None else column
    images = ImageSet.from_arrays(pictures, names[label].tolist(), {"site": column})
    return Classifier(Halves(reads), size=8, channels=1, class_names=["dark", "light"]), images, {"group": ("site",)}


def planted():
    """It predicts the site, which is independent of the label."""
    return case(reads=1)


def clean():
    """It predicts the label; the site is visible in images and features."""
    return case(reads=0)


def ask(network, images, options, seed=0):
    engine = LocalEngine()
    (column,) = leakage(record(network, images, engine, options), engine, seed=seed).columns
    return column


def test_where_the_group_is_and_where_it_is_not():
    leaks = ask(*clean()).leaks
    assert list(leaks) == ["thumbnails", "features", "logits", "predictions", "labels"]
    for seen in ("thumbnails", "features"):
        assert leaks[seen].strength.low > 0.9
        assert leaks[seen].p == pytest.approx(1 / 200)
    for blind in ("logits", "predictions", "labels"):
        assert leaks[blind].strength.low == 0
    assert ask(*planted()).leaks["predictions"].recall == pytest.approx([1.0, 1.0])


def test_what_labels_tell_is_no_amplification():
    """The site is the label: an accurate classifier reveals it as well as the label does."""
    _, label, _ = data()
    column = ask(*case(0, np.array(["dark", "light"])[label]))
    assert column.leaks["labels"].strength.value == 1
    assert column.amplified.low <= 0 <= column.amplified.high


def test_a_column_without_groups_gets_a_sentence_and_nothing_is_asked():
    (finding,) = audit(*case(0, ["all"] * COUNT)[:2], checks=["fairness.leakage"], group=("site",)).findings
    assert finding.verdict == Verdict.INCONCLUSIVE
    assert any("no two groups" in caveat for caveat in finding.caveats)


def test_a_classifier_without_a_last_linear_layer_says_so():
    _, images, options = clean()
    network = formula(lambda x: torch.stack([-x.mean((1, 2, 3)), x.mean((1, 2, 3))], 1), 8, 1, ["dark", "light"])
    (finding,) = audit(network, images, checks=["fairness.leakage"], **options).findings
    assert any("no features before it" in caveat for caveat in finding.caveats)
    assert "features" not in {row[1] for row in finding.evidence[-1].rows}


@pytest.mark.filterwarnings("ignore:.*could not be traced")
def test_features_are_read_by_hooks_where_a_network_cannot_be_traced():
    random = np.random.default_rng(0)
    images = ImageSet.from_arrays(
        random.integers(0, 255, (80, 12, 12, 3), dtype=np.uint8),
        ["0", "1"] * 40,
        {"site": random.choice(["a", "b"], 80)},
    )
    network = Classifier(Untraceable(), size=12)
    assert "features" in ask(network, images, {"group": ("site",)}).leaks
    assert not any(module._forward_hooks for module in network.modules())
