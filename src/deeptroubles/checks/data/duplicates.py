"""data.duplicates."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from deeptroubles.checks.data.shared.splits import Splits, splits_of
from deeptroubles.checks.data.shared.stored_picture import stored_picture
from deeptroubles.checks.limits import MIN_IMAGES, few, judge
from deeptroubles.checks.registry import check
from deeptroubles.checks.wording import percent, percent_interval
from deeptroubles.engine import Engine
from deeptroubles.findings import Cell, Column, Estimate, Evidence, Finding, Table, Verdict
from deeptroubles.methods.properties.perceptual_hash import near_pairs, perceptual_hash, thumbnail
from deeptroubles.methods.properties.similarity import likeness
from deeptroubles.recording import Recording
from deeptroubles.statistics.intervals import Interval, wilson
from deeptroubles.subject import Subject

WARN_AT, FAIL_AT = 0.01, 0.05
HASH_BITS = 16
"""Pairs are compared closely when no more than this many of the 64 bits of their hashes differ."""
ALIKE, ALMOST = 0.97, 0.94
"""A pair is a near copy from the first likeness on; how many reach only the second shows how alike others are."""
FALSE_PAIRS = 1e-6
"""The share of pairs of different pictures that are taken for near copies; see tests/methods/test_near_copies.py."""
ALPHA = 0.05
FLAT = 0.02
"""A picture whose thumbnail varies less than this (standard deviation) shows nothing that could be compared."""
SMALLEST = 16
"""Pictures with a shorter side than this are compared for exact copies only: too little is left to tell them by."""
MOST_IMAGES, MOST_PAIRS = 20_000, 200_000
SHOWN = 16


_RULE = (
    f"Fails when an image has a copy in another split, or when more than {percent(FAIL_AT)} of the images have a copy, "
    f"with 95 % confidence; warns above {percent(WARN_AT)}, and when copies have different labels (near copies count "
    f"when there are more than mistakes explain, {percent(ALPHA)}); passes when more than {percent(FAIL_AT)} can be "
    f"ruled out; inconclusive otherwise, and below {MIN_IMAGES} images. Near copies: at most {HASH_BITS} of 64 bits of the "
    f"hash differ, and the likeness is {ALIKE} or more. The thresholds are conventions."
)


@dataclass(frozen=True, kw_only=True)
class Pair:
    """Two rows that show the same; likeness is 1 for the same pixels."""

    first: int
    second: int
    likeness: float
    across: bool
    contradicts: bool


@dataclass(frozen=True, kw_only=True)
class Duplicates:
    """Which images are copies of one another.

    Attributes:
        images: How many images were looked at, without flat ones.
        copied: How many of them have a copy, exact or near.
        exact: How many have an exact copy.
        leaking: How many have a copy in another split; None where splits cannot be compared.
        exact_leaking: How many of them have an exact one there.
        contradicting: How many have a copy with another label.
        exact_contradicting: How many of them have an exact one.
        near: How many pairs of near copies there are.
        expected: How many are expected by mistake, where as many as are nearly as alike may be.
        usual: How many are expected by mistake among pictures of all kinds.
        flat: How many images of one colour were left out.
        groups: How many groups of copies there are.
        evidence: The table with the pictures of pairs.
        notes: What was not compared.
    """

    images: int
    copied: int
    exact: int
    leaking: int | None
    exact_leaking: int
    contradicting: int
    exact_contradicting: int
    near: int
    expected: float
    usual: float
    flat: int
    groups: int
    evidence: Table | None
    notes: tuple[str, ...]

    @property
    def near_certain(self) -> bool:
        """Whether there are more pairs of near copies than mistakes explain."""
        return bool(stats.poisson.sf(self.near - 1, self.expected) < ALPHA)

    def findings(self) -> Iterable[Finding]:
        """One finding."""
        share = wilson(self.copied, self.images)
        verdict = judge(share, self.images, warn_at=WARN_AT, fail_at=FAIL_AT)
        sure = self.near_certain
        if not sure:  # only what is the same to the pixel is held against the images
            verdict = judge(wilson(self.exact, self.images), self.images, warn_at=WARN_AT, fail_at=FAIL_AT)
        if self.exact_leaking or (self.leaking and sure):
            verdict = Verdict.FAIL
        elif self.contradicting and (sure or self.exact_contradicting) and verdict != Verdict.FAIL:
            verdict = Verdict.WARN
        elif self.leaking and verdict == Verdict.PASS and stats.poisson.sf(self.near - 1, self.usual) < ALPHA:
            verdict = Verdict.INCONCLUSIVE
        yield Finding(
            check="data.duplicates",
            verdict=verdict,
            severity=max(share.value, 0.5 * bool(self.leaking)) if self.copied else 0.0,
            claim=self._claim(share),
            criterion=_RULE,
            evidence=self._evidence(share),
            caveats=[*few(self.images), *self.notes],
        )

    def _claim(self, share: Interval) -> str:
        claim = f"{self.copied} of {self.images} images, {percent_interval(share)}, have a copy among the others"
        claim += f", {self.exact} of them to the pixel" if self.copied else ""
        claim += f", in {self.groups} group{'' if self.groups == 1 else 's'}." if self.copied else "."
        if self.leaking is not None:
            claim += f" {self.leaking} have one in another split."
        if self.contradicting:
            claim += f" {self.contradicting} have a copy with another label."
        if self.near and not self.near_certain:
            many = "1 pair" if self.near == 1 else f"{self.near} pairs"
            claim += f" Near copies ({many}) are no more than alike pictures bring by mistake."
        return claim

    def _evidence(self, share: Interval) -> list[Evidence]:
        evidence: list[Evidence] = [
            Estimate(
                label="Images with a copy",
                value=share.value,
                low=share.low,
                high=share.high,
                n=self.images,
                warn_at=WARN_AT,
                fail_at=FAIL_AT,
            )
        ]
        if self.leaking is not None:
            leak = wilson(self.leaking, self.images)
            evidence.append(
                Estimate(
                    label="Images with a copy in another split",
                    value=leak.value,
                    low=leak.low,
                    high=leak.high,
                    n=self.images,
                    fail_at=0.0,
                )
            )
        return [*evidence, *([self.evidence] if self.evidence else [])]


@check("data.duplicates")
def duplicates(recording: Recording, engine: Engine, *, seed: int) -> Duplicates:
    """Are images copies of one another, across splits or with different labels?

    What it asks:
        Which images have the same pixels; and which of up to 20,000 are near copies: scaled, recompressed, brightened,
        shifted or cropped by a few percent. Where a column `split` names parts such as train and test, whether copies
        lie in different ones; and whether copies have different labels.

    Why it matters:
        A test image that was learned by heart says nothing about other images. Copies count one picture several
        times, and of two labels of the same picture one is wrong.

    How to read it:
        Copies of copies make a group. A pair is found by 64 bits that say which coarse patterns a picture has (pHash),
        and kept when the one explains the other almost wholly (likeness 0.97 of 1) after the best small shift and
        stretch. Look at the pairs: leaks first, then different labels.

    Limits:
        Crops of more than some 10 %, mirrored and rotated copies are not found. Different pictures can be as alike as
        copies: aligned faces, scans, digits, frames of a film. So near copies are held against the images only where
        there are certainly more of them than of pairs that are nearly as alike (0.94 to 0.97), and than 1 in 1,000,000
        pairs: of different pictures, about 1 in 8,000,000 pairs of drawn scenes was mistaken for a copy, and 1 of
        20,000 pairs of small grey crops. Images of one colour are not compared.

    References:
        C. Zauner, Implementation and benchmarking of perceptual image hash functions, 2010.

        P. Simard, Y. LeCun, J. Denker, Efficient pattern recognition using a new transformation distance, NIPS 1992.

        B. Barz, J. Denzler, Do we train on test data? Purging CIFAR of near-duplicates, Journal of Imaging 2020.
    """
    rows = recording.sample(MOST_IMAGES)
    seen = engine.map(_looks, recording.subject, rows, task="Looking for copies", chunk=64)
    thumbnails = seen["thumbnail"].astype(np.float32) / 255
    flat = thumbnails.std((1, 2)).max(1) < FLAT
    rows, thumbnails = rows[~flat], thumbnails[~flat]
    leader, same = np.unique(seen["digest"][~flat], return_index=True, return_inverse=True)[1:]
    large = leader[seen["side"][~flat][leader] >= SMALLEST]
    first, second, alike, used = _near(thumbnails, large)
    near = alike >= ALIKE
    splits = splits_of(recording)
    notes = [
        "Look at the pairs: near copies are told by likeness, and different pictures can be alike.",
        *([splits.note] if splits.note else []),
        *_left_out(recording, seen, flat, used),
    ]
    usual = FALSE_PAIRS * len(large) * (len(large) - 1) / 2
    mistakes = (max(usual, _almost(alike)), usual)
    return _counted(
        recording,
        rows,
        leader[same],
        splits,
        tuple(notes),
        int(flat.sum()),
        mistakes,
        (first[near], second[near], alike[near]),
    )


def _looks(subject: Subject, indices: Sequence[int], batch_size: int) -> dict[str, NDArray[Any]]:
    images = [subject.images[i] for i in indices]
    digests = [hashlib.blake2b(f"{i.mode} {i.size}".encode() + i.tobytes(), digest_size=16).hexdigest() for i in images]
    return {
        "thumbnail": np.stack([thumbnail(image) for image in images]),
        "digest": np.array(digests),
        "side": np.array([min(image.size) for image in images]),
    }


def _near(
    thumbnails: NDArray[np.float32], chosen: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64], int]:
    """Pairs of different pictures whose hashes are close, with their likeness; and within how many bits they are."""
    if len(chosen) < 2:
        nothing = np.zeros(0, dtype=np.int64)
        return nothing, nothing, np.zeros(0), HASH_BITS
    (first, second), used = near_pairs(perceptual_hash(thumbnails[chosen]), HASH_BITS, MOST_PAIRS)
    first, second = chosen[first], chosen[second]
    alike = likeness(thumbnails, first, second)
    return first, second, alike, used


def _almost(alike: NDArray[np.float64]) -> int:
    """How many pairs are nearly alike enough: of different pictures, no more than these are alike enough."""
    return int(((alike >= ALMOST) & (alike < ALIKE)).sum())


def _left_out(recording: Recording, seen: dict[str, NDArray[Any]], flat: NDArray[np.bool_], used: int) -> list[str]:
    notes = []
    if flat.any():
        notes.append(f"{flat.sum()} images of nearly one colour were not compared.")
    if (small := int((seen["side"] < SMALLEST).sum())) > 0:
        notes.append(f"{small} images with a side below {SMALLEST} pixels were compared for exact copies only.")
    if len(flat) < len(recording.logits):
        notes.append(f"{len(recording.logits) - len(flat)} more images were not looked at.")
    if used < HASH_BITS:
        notes.append(f"So many images are alike that only hashes within {max(used, 0)} bits were compared.")
    return notes


def _counted(
    recording: Recording,
    rows: NDArray[np.int64],
    leader: NDArray[np.int64],
    splits: Splits,
    notes: tuple[str, ...],
    flat: int,
    mistakes: tuple[float, float],
    near: tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]],
) -> Duplicates:
    """Put pairs together to groups and count; `leader` is the first of the images with the same pixels."""
    first, second, alike = near
    everyone = np.arange(len(rows))
    edges = np.concatenate([first, everyone]), np.concatenate([second, leader])
    joined = coo_array((np.ones(len(edges[0])), edges), shape=(len(rows), len(rows)))
    group = connected_components(joined, directed=False)[1] if len(rows) else everyone
    split, target = splits.codes[rows], recording.targets[rows]
    leaking, contradicting = _mixed(group, split), _mixed(group, target)
    copies = np.flatnonzero(leader != everyone)
    pairs = [
        Pair(
            first=int(a),
            second=int(b),
            likeness=float(c),
            across=min(split[a], split[b]) >= 0 and split[a] != split[b],
            contradicts=min(target[a], target[b]) >= 0 and target[a] != target[b],
        )
        for a, b, c in [
            *zip(leader[copies], copies, np.ones(len(copies)), strict=True),
            *zip(first, second, alike, strict=True),
        ]
    ]
    sizes = np.bincount(group, minlength=1)
    return Duplicates(
        images=len(rows),
        copied=int((sizes[group] > 1).sum()) if len(rows) else 0,
        exact=int((np.bincount(leader, minlength=1)[leader] > 1).sum()) if len(rows) else 0,
        leaking=int(leaking.sum()) if splits.names else None,
        exact_leaking=int(_mixed(leader, split).sum()),
        contradicting=int(contradicting.sum()),
        exact_contradicting=int(_mixed(leader, target).sum()),
        near=len(first),
        expected=mistakes[0],
        usual=mistakes[1],
        flat=flat,
        groups=int((sizes > 1).sum()),
        notes=notes,
        evidence=_table(recording, rows, pairs, splits),
    )


def _mixed(group: NDArray[np.integer], value: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Whether an image's group has members with another value; unknown values (-1) are like any."""
    known = value >= 0
    kinds = np.unique(np.stack([group[known], value[known]]), axis=1)[0]
    several = np.bincount(kinds, minlength=int(group.max(initial=0)) + 1) > 1
    return np.asarray(known & several[group])


def _table(recording: Recording, rows: NDArray[np.int64], pairs: list[Pair], splits: Splits) -> Table | None:
    """The pairs as pictures: leaks first, then different labels, then the most alike."""
    if not pairs:
        return None
    paths, names = recording.subject.images.table["path"], recording.subject.classifier.class_names
    columns = [
        Column(name="image", kind="picture"),
        Column(name="copy", kind="picture"),
        Column(name="files"),
        Column(name="labels"),
        *([Column(name="splits")] if splits.names else []),
        Column(name="likeness", kind="number"),
    ]
    ordered = sorted(pairs, key=lambda p: (not p.across, not p.contradicts, -p.likeness, p.first, p.second))
    table: list[list[Cell]] = []
    for pair in ordered[:SHOWN]:
        two = [int(rows[pair.first]), int(rows[pair.second])]
        files = [str(paths.iloc[row]) for row in two]
        labels = [names[k] if k >= 0 else "no label" for k in recording.targets[two]]
        where = [splits.names[s] if s >= 0 else "no split" for s in splits.codes[two]] if splits.names else []
        pictures = [stored_picture(recording, row, file) for row, file in zip(two, files, strict=True)]
        both = [" | ".join(files), _either(labels), *([_either(where)] if where else [])]
        table.append([*pictures, *both, round(pair.likeness, 3)])
    cut = f" (the first {SHOWN} of {len(pairs)})" if len(pairs) > SHOWN else ""
    return Table(title=f"Pairs of copies: leaks first, then different labels{cut}", columns=columns, rows=table)


def _either(two: Sequence[str]) -> str:
    return two[0] if two[0] == two[1] else " | ".join(two)
