"""An audit with every verdict, every kind of evidence, and text that tries to break the page."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from skimage import data

from deeptroubles.findings import (
    Audit,
    Column,
    CountryValue,
    Curve,
    Estimate,
    Finding,
    GridItem,
    Guide,
    Heatmap,
    Heatmaps,
    ImageFacts,
    ImageGrid,
    ModelFacts,
    Picture,
    Series,
    Table,
    Unreadable,
    Verdict,
    WorldMap,
    worst_first,
)

Pixels = NDArray[np.uint8]

XSS = "</script><script>alert(1)</script><img src=x onerror=alert(2)>"
LONG_NAME = "Rød-Panda_(Ailurus_fulgens)_レッサーパンダ_Kleiner-Panda_the-one-that-sat-on-the-fence/IMG_0001.jpeg"


def photo(name: str, size: int = 224) -> Pixels:
    image = Image.fromarray(getattr(data, name)()).convert("RGB")
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    return np.asarray(image.crop((left, top, left + side, top + side)).resize((size, size)))


def picture(pixels: Pixels, alt: str) -> Picture:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "WEBP", quality=80)
    src = "data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode()
    return Picture(src=src, alt=alt, width=pixels.shape[1], height=pixels.shape[0])


def grid(height: int, width: int, row: float, column: float, *, signed: bool = False) -> list[list[float | None]]:
    y, x = np.mgrid[:height, :width]
    spread = (height / 4) ** 2
    values = np.exp(-((y - row) ** 2 + (x - column) ** 2) / spread)
    if signed:
        values = values - 0.8 * np.exp(-((y - height + row) ** 2 + (x - width + column) ** 2) / spread)
    return [[round(float(value), 3) for value in line] for line in values]


def accuracy() -> Finding:
    return Finding(
        check="performance.accuracy",
        verdict=Verdict.FAIL,
        claim="The model predicts the right class for 42% of the images; its mean confidence is 70%.",
        criterion="Fails if the 95% interval lies below 60%, warns if it lies below 70%.",
        severity=0.9,
        evidence=[
            Estimate(
                label="Accuracy",
                value=0.42,
                low=0.31,
                high=0.54,
                n=1024,
                warn_at=0.7,
                fail_at=0.6,
                higher_is_worse=False,
            ),
            Estimate(
                label="Accuracy on the class with the fewest images",
                value=0.18,
                low=0.02,
                high=0.51,
                n=11,
                warn_at=0.7,
                fail_at=0.6,
                higher_is_worse=False,
            ),
            _classes_table(),
            _confusion(),
        ],
        caveats=[
            "Accuracy does not show which errors the model makes: see the table of classes.",
            "The images may differ from those that the model is used on.",
        ],
    )


def _classes_table() -> Table:
    rng = np.random.default_rng(3)
    thumbs = [picture(photo(name, 48), f"A photo of {name}") for name in ("chelsea", "coffee", "rocket", "astronaut")]
    rows = []
    for i in range(200):
        n = int(rng.integers(4, 400))
        share = float(rng.beta(5, 3))
        half = 1.96 * math.sqrt(share * (1 - share) / n)
        name = LONG_NAME if i == 3 else f"class {i:03d}"
        missing = i % 17 == 5
        interval = None if missing else [max(0.0, share - half), min(1.0, share + half)]
        rows.append([thumbs[i % 4], name, n, None if missing else share, interval, float(rng.normal())])
    names = ("Example", "Class", "Images", "Recall", "95% interval", "Mean log-odds")
    kinds = ("picture", "text", "number", "share", "interval", "number")
    columns = [Column(name=name, kind=kind) for name, kind in zip(names, kinds, strict=True)]  # type: ignore[arg-type]
    return Table(title="Recall of each class, worst first", columns=columns, rows=rows)


def _confusion() -> Heatmaps:
    classes = ["tabby cat", "Egyptian cat", "espresso", "space shuttle", "missile", "spacesuit"]
    rng = np.random.default_rng(0)
    values: list[list[float | None]] = [
        [None if (i, j) == (5, 1) else round(float(rng.uniform(0, 0.3) + (0.5 if i == j else 0)), 2) for j in range(6)]
        for i in range(6)
    ]
    item = Heatmap(
        values=values,
        caption="Each row is a true class and sums to 1.",
        alt="Confusion matrix of six classes; the diagonal is strongest",
        x_ticks=classes,
        y_ticks=classes,
    )
    return Heatmaps(
        title="Confusion matrix",
        items=[item],
        scale_label="Share of the images of a class",
        low=0,
        high=0.8,
        x_label="Predicted class",
        y_label="True class",
    )


def calibration() -> Finding:
    x = [round(0.05 + 0.1 * i, 2) for i in range(10)]
    y = [round(min(1, 0.75 * v + 0.02), 3) for v in x]
    line = Series(
        name="efficientnet-lite0", x=x, y=y, low=[max(0, v - 0.06) for v in y], high=[min(1, v + 0.05) for v in y]
    )
    other = Series(name="after temperature scaling", x=x, y=[round(0.95 * v + 0.02, 3) for v in x])
    perfect = Series(name="perfectly calibrated", x=[0, 1], y=[0, 1], reference=True)
    return Finding(
        check="performance.calibration",
        verdict=Verdict.WARN,
        claim="At 90% confidence, the model is right 70% of the time.",
        criterion="Warns when the expected calibration error is above 5%.",
        severity=0.4,
        evidence=[
            Curve(
                title="Reliability",
                x_label="Confidence",
                y_label="Share of correct predictions",
                series=[line, other, perfect],
                y_range=(0, 1),
            ),
            Curve(
                title="Accuracy under noise",
                x_label="Noise (standard deviation)",
                y_label="Accuracy",
                series=[
                    Series(name="Gaussian", x=[0.001, 0.01, 0.1, 1.0], y=[0.42, 0.4, 0.22, 0.01]),
                    Series(name="salt & pepper", x=[0.001, 0.01, 0.1, 1.0], y=[0.42, math.nan, 0.3, 0.05]),
                ],
                x_scale="log",
            ),
            Estimate(label="Expected calibration error", value=0.071, low=0.058, high=0.085, n=1024, warn_at=0.05),
        ],
    )


def shortcut() -> Finding:
    names = ["chelsea", "coffee", "rocket", "astronaut"]
    signed = [
        Heatmap(
            values=grid(14, 14, 3 + i, 4 + 2 * i, signed=True),
            caption=f"{name}: orange regions change the prediction most",
            alt=f"Occlusion of {name}: strongest at the upper left",
            picture=picture(photo(name), f"A photo of {name}"),
        )
        for i, name in enumerate(names)
    ]
    holes = grid(7, 7, 2, 4)
    holes[0] = [None] * 7
    plain = [
        Heatmap(
            values=values,
            caption=caption,
            alt="Grad-CAM of a cat",
            picture=picture(photo("chelsea"), "A cat looking to the left"),
        )
        for values, caption in [(grid(7, 7, 3, 3), "Grad-CAM, last layer"), (holes, "First row not measured")]
    ]
    return Finding(
        check="reliance.background",
        verdict=Verdict.FAIL,
        claim=f"The model relies on the background: {XSS} 61% of the attribution lies outside the object.",
        criterion="Fails when more than half of the attribution lies outside the object's mask.",
        severity=0.7,
        evidence=[
            Heatmaps(
                title="Change of the prediction when a region is hidden",
                items=signed,
                scale_label="Change of the log-odds when hidden",
                low=-0.8,
                high=1.0,
                diverging=True,
            ),
            Heatmaps(title="Grad-CAM", items=plain, scale_label="Relevance (raw)", low=0, high=1),
            Estimate(
                label=f"Share outside the object {XSS}", value=0.61, low=0.52, high=0.69, n=48, warn_at=0.3, fail_at=0.5
            ),
        ],
        caveats=["An attribution shows what the prediction depends on locally, not which concepts the model uses."],
    )


def shift() -> Finding:
    base = photo("chelsea")
    steps = [0, 4, 8, 16, 32, 48]
    items = [
        GridItem(
            picture=picture(np.roll(base, step, axis=1), f"The cat shifted by {step} pixels"),
            caption=f"{step} px",
            note=f"tabby cat {0.71 - step / 100:.2f}",
        )
        for step in steps
    ]
    return Finding(
        check="invariance.shift",
        verdict=Verdict.PASS,
        claim="Shifting the images by up to 16 pixels changes 3% of the predictions.",
        criterion="Warns above 10%, fails above 25%.",
        evidence=[
            Estimate(
                label="Predictions that change", value=0.03, low=0.014, high=0.052, n=512, warn_at=0.1, fail_at=0.25
            ),
            Estimate(label="Mean shift needed", value=23.4, low=19.0, high=28.1, n=512, unit="pixels"),
            ImageGrid(title="One image, shifted to the right", items=items, strip=True),
        ],
    )


def mistakes(count: int = 24) -> Finding:
    names = ["chelsea", "coffee", "rocket", "astronaut", "retina", "hubble_deep_field"]
    items = [
        GridItem(
            picture=picture(photo(names[i % len(names)], 160), f"A photo of {names[i % len(names)]}"),
            caption=LONG_NAME if i == 2 else f"{names[i % len(names)]}-{i:03d}.jpg",
            note=f"missile {0.99 - i / 400:.2f}",
        )
        for i in range(count)
    ]
    return Finding(
        check="performance.confident_mistakes",
        verdict=Verdict.WARN,
        claim=f"{count} images are misclassified with more than 90% confidence.",
        criterion="Warns above 1% of the images.",
        severity=0.2,
        evidence=[ImageGrid(title="The most confident errors", items=items)],
    )


def world() -> WorldMap:
    values = [
        ("US", "United States", 2.9),
        ("IN", "India", -3.1),
        ("MT", "Malta", 6.0),
        ("BR", "Brazil", 0.0),
        ("RU", "Russia", -0.4),
        ("KI", XSS, -1.2),
        ("VA", "Vatican City", math.nan),
        ("ZZ", LONG_NAME, 1.0),
    ]
    countries = [CountryValue(code=code, name=name, value=value, note="12 images") for code, name, value in values]
    return WorldMap(
        title="Where the images come from",
        countries=countries,
        scale_label="Share of images over share of people (log2)",
        low=-4,
        high=4,
        diverging=True,
        absent="no images",
        caption="A value of 1 means twice as many images as the share of people.",
        alt="World map of eight countries; most images are from the United States",
    )


def lesser_findings() -> list[Finding]:
    empty = ImageGrid(title="Nothing to show", items=[])
    rare = Estimate(label="Gap between groups", value=0.08, low=-0.11, high=0.27, n=14, unit="number", warn_at=0.1)
    groups = Table(title="Groups", columns=[Column(name="Group")], rows=[])
    unknown = Estimate(label="Worst group", value=math.nan, low=math.nan, high=math.nan, n=0)
    return [
        Finding(
            check="fairness.groups",
            verdict=Verdict.INCONCLUSIVE,
            claim="14 images with a group are too few to compare groups.",
            criterion="Needs at least 30 images in each group.",
            evidence=[rare, unknown, groups, world(), empty],
        ),
        Finding(
            check="robustness.patch",
            verdict=Verdict.ERROR,
            claim="The check crashed: RuntimeError: expected a 4-dimensional input, got 3 dimensions.",
            criterion="",
        ),
        Finding(
            check="reliance.masks",
            verdict=Verdict.SKIPPED,
            claim="Not run: the images have no object masks.",
            criterion="Needs a mask for at least 30 images.",
        ),
        Finding(
            check="reliance.masks",
            verdict=Verdict.SKIPPED,
            claim="Not run: the excluded classes have no object masks.",
            criterion="Needs a mask for at least 30 images.",
        ),
    ]


def guide(question: str) -> Guide:
    return Guide(
        question=question,
        asks="How often the prediction is right, over all labeled images.\n\nIt is the class with the highest score.",
        matters="Every other finding depends on it: a model that is often wrong is wrong for a reason.",
        reading="Look at three things:\n- the number,\n- its interval: how\n  precise it is,\n- the table of classes.",
        limits="Labels may be wrong. See https://example.org/labels (and the discussion there).",
        references="- Guo et al. 2017, On calibration of modern neural networks, https://arxiv.org/abs/1706.04599.",
    )


def sample_audit(findings: Sequence[Finding] | None = None) -> Audit:
    if findings is None:
        findings = [accuracy(), calibration(), shortcut(), shift(), mistakes(), *lesser_findings()]
    return Audit(
        status="complete",
        created="2026-03-14T09:26:53+00:00",
        seconds=187.3,
        command="deeptroubles audit efficientnet-lite0 --images photos/ --out runs/first --seed 7",
        seed=7,
        environment={"deeptroubles": "0.1.0", "Python": "3.11.9", "torch": "2.6.0", "device": "cpu (8 threads)"},
        model=ModelFacts(
            name="efficientnet-lite0",
            source="built in",
            fingerprint="sha256:4f1c" + "9a7e" * 8,
            classes=1000,
            parameters=4_652_008,
            input="3 × 224 × 224 pixels in [0, 1]",
            preprocessing="resize the shorter side to 256, crop the middle 224, (x · 255 − 127) / 128",
            learning_curves=[
                Curve(
                    title="Loss",
                    x_label="epoch",
                    y_label="loss",
                    series=[Series(name="training", x=[1, 2, 3], y=[1.9, 1.1, 0.7])],
                )
            ],
        ),
        images=ImageFacts(
            name="photos",
            fingerprint="sha256:" + "0b5d" * 9,
            count=1100,
            labelled=1024,
            classes=200,
            unreadable=[
                Unreadable(path=LONG_NAME, reason="truncated file"),
                Unreadable(path=f"photos/{XSS}.jpg", reason="not an image"),
            ],
            unmatched_labels={"catt": 12, "Ćevapčići": 3},
            credits=["chelsea.png: Stéfan van der Walt, CC0", "astronaut.png: NASA, public domain"],
            notes=["76 images have no label. They are used only by checks that need no labels."],
        ),
        findings=worst_first(findings),
        guides={
            "performance.accuracy": guide("How often is the model right?"),
            "performance.calibration": guide("Does the confidence match the accuracy?"),
            "reliance.background": guide("Does the model rely on the object or on the background?"),
            "invariance.shift": guide("Does the prediction change when the image is shifted?"),
        },
    )
