"""data.duplicates: are images duplicates of each other, across splits or with different labels?"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from deeptroubles.checks.data.shared.splits import Splits, splits_of
from deeptroubles.checks.data.shared.stored_picture import stored_picture
from deeptroubles.checks.limits import Limits, estimate, few
from deeptroubles.checks.registry import check
from deeptroubles.checks.wording import percent_interval, plural
from deeptroubles.engine import Arrays, Engine
from deeptroubles.findings import Cell, Column, Evidence, Finding, Table, Verdict
from deeptroubles.methods.properties.near_duplicates import (
    ALPHA,
    HASH_BITS,
    NEAR,
    almost_pairs,
    is_flat,
    joined_groups,
    more_than_expected,
    similar_pairs,
    usual_false_pairs,
)
from deeptroubles.methods.properties.perceptual_hash import thumbnail
from deeptroubles.recording import Recording
from deeptroubles.statistics.intervals import Interval, wilson
from deeptroubles.subject import Subject

MIN_SIDE = 16
"""Images with a shorter side are compared for exact duplicates only."""
MAX_IMAGES = 20_000
EXAMPLES_SHOWN = 16

LIMITS = Limits(
    "the share of images with a duplicate",
    warn_at=0.01,
    fail_at=0.05,
    note="Also fails if an image has a duplicate in another split, and warns if duplicates have different labels "
    f"(near-duplicates count if there are significantly more than false positives, p < {ALPHA}). Near-duplicates: at "
    f"most {HASH_BITS} of 64 bits of the hash differ, and the similarity is {NEAR} or more. The thresholds are "
    "conventions.",
)


@dataclass(frozen=True, kw_only=True)
class Pair:
    """Two rows with the same content; similarity is 1 for the same pixels."""

    first: int
    second: int
    similarity: float
    across: bool
    contradicts: bool


@dataclass(frozen=True, kw_only=True)
class Duplicates:
    """Which images are duplicates of each other.

    Attributes:
        images: How many images were compared, without flat ones.
        copied: How many of them have a duplicate, exact or near.
        exact: How many have an exact duplicate.
        leaking: How many have a duplicate in another split; None where splits cannot be compared.
        exact_leaking: How many of them have an exact one there.
        contradicting: How many have a duplicate with another label.
        exact_contradicting: How many of them have an exact one.
        near: How many pairs of near-duplicates there are.
        expected: The expected number of false pairs, at least as many as pairs that are almost as similar.
        usual: The expected number of false pairs at the usual rate.
        flat: How many images of one color were left out.
        groups: How many groups of duplicates there are.
        evidence: The table with the images of pairs.
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
    def near_is_significant(self) -> bool:
        """Whether there are significantly more near-duplicates than false positives."""
        return more_than_expected(self.near, self.expected)

    def findings(self) -> Iterable[Finding]:
        """One finding."""
        share = wilson(self.copied, self.images)
        significant = self.near_is_significant
        # Without significance only exact duplicates are judged.
        verdict = LIMITS.verdict(share if significant else wilson(self.exact, self.images), self.images)
        if self.exact_leaking or (self.leaking and significant):
            verdict = Verdict.FAIL
        elif self.contradicting and (significant or self.exact_contradicting) and verdict != Verdict.FAIL:
            verdict = Verdict.WARN
        elif self.leaking and verdict == Verdict.PASS and more_than_expected(self.near, self.usual):
            verdict = Verdict.INCONCLUSIVE
        yield Finding(
            check="data.duplicates",
            verdict=verdict,
            severity=max(share.value, 0.5 * bool(self.leaking)) if self.copied else 0.0,
            claim=self._claim(share),
            criterion=LIMITS.criterion,
            evidence=self._evidence(share),
            caveats=[*few(self.images), *self.notes],
        )

    def _claim(self, share: Interval) -> str:
        claim = f"{percent_interval(share)} of {plural(self.images, 'image')} have a duplicate"
        claim += f" ({self.copied} in {plural(self.groups, 'group')}, {self.exact} exact)" if self.copied else ""
        if self.leaking is not None:
            claim += f"; {self.leaking} have one in another split"
        if self.contradicting:
            claim += f"; {self.contradicting} have one with another label"
        if self.near and not self.near_is_significant:
            claim += f"; the near-duplicates ({plural(self.near, 'pair')}) are within the expected false positives"
        return f"{claim}."

    def _evidence(self, share: Interval) -> list[Evidence]:
        evidence: list[Evidence] = [LIMITS.estimate("Images with a duplicate", share, self.images)]
        if self.leaking is not None:
            leak = estimate("Images with a duplicate in another split", wilson(self.leaking, self.images), self.images)
            evidence.append(replace(leak, fail_at=0.0))
        return [*evidence, *([self.evidence] if self.evidence else [])]


@check("data.duplicates")
def duplicates(recording: Recording, engine: Engine, *, seed: int) -> Duplicates:
    """Are images duplicates of each other, across splits or with different labels?

    What it asks:
        Which images have the same pixels; which of up to 20,000 are near-duplicates: scaled, recompressed, brightened,
        shifted or cropped by a few percent; where a column `split` names parts such as train and test, whether
        duplicates are in different ones; and whether duplicates have different labels.

    Why it matters:
        A memorized test image gives no information about other images. Duplicates count one image several times, and if
        their labels differ, one label is wrong.

    How to read it:
        Duplicates of duplicates form a group. A pair is found by a 64-bit perceptual hash (pHash), and kept if one
        image explains the other almost entirely (similarity 0.97 or more) after the best small shift and stretch. Look
        at the pairs: leaks first, then different labels.

    Limits:
        Crops of more than about 10%, mirrored and rotated duplicates are not found. Different images can be as similar
        as duplicates: aligned faces, scans, digits, video frames. So near-duplicates only count if there are
        significantly more of them than of pairs that are almost as similar (0.94 to 0.97), and than 1 in 1,000,000
        pairs: about 1 in 8,000,000 pairs of different synthetic scenes was a false positive, and 1 of 20,000 pairs of
        small grayscale crops. Images of one color are not compared.

    References:
        C. Zauner, Implementation and benchmarking of perceptual image hash functions, 2010.

        P. Simard, Y. LeCun, J. Denker, Efficient pattern recognition using a new transformation distance, NIPS 1992.

        B. Barz, J. Denzler, Do we train on test data? Purging CIFAR of near-duplicates, Journal of Imaging 2020.
    """
    rows = recording.sample(MAX_IMAGES)
    seen = engine.map(_fingerprints, recording.subject, rows, task="Searching duplicates", chunk=64)
    thumbnails = seen["thumbnail"].astype(np.float32) / 255
    flat = is_flat(thumbnails)
    rows, thumbnails = rows[~flat], thumbnails[~flat]
    leader, same = np.unique(seen["digest"][~flat], return_index=True, return_inverse=True)[1:]
    large = leader[seen["side"][~flat][leader] >= MIN_SIDE]
    first, second, similarities, used = similar_pairs(thumbnails, large)
    near = similarities >= NEAR
    splits = splits_of(recording)
    notes = [
        "Look at the pairs: near-duplicates are found by similarity, and different images can be similar.",
        *([splits.note] if splits.note else []),
        *_left_out(recording, seen, flat, used),
    ]
    usual = usual_false_pairs(len(large))
    mistakes = (max(usual, almost_pairs(similarities)), usual)
    return _counted(
        recording,
        rows,
        leader[same],
        splits,
        tuple(notes),
        int(flat.sum()),
        mistakes,
        (first[near], second[near], similarities[near]),
    )


def _fingerprints(subject: Subject, indices: Sequence[int], batch_size: int) -> Arrays:
    images = [subject.images[i] for i in indices]
    digests = [hashlib.blake2b(f"{i.mode} {i.size}".encode() + i.tobytes(), digest_size=16).hexdigest() for i in images]
    return {
        "thumbnail": np.stack([thumbnail(image) for image in images]),
        "digest": np.array(digests),
        "side": np.array([min(image.size) for image in images]),
    }


def _left_out(recording: Recording, seen: Arrays, flat: NDArray[np.bool_], used: int) -> list[str]:
    notes = []
    if flat.any():
        notes.append(f"{plural(int(flat.sum()), 'image')} of nearly one color not compared.")
    if (small := int((seen["side"] < MIN_SIDE).sum())) > 0:
        notes.append(
            f"{plural(small, 'image')} with a side below {MIN_SIDE} pixels compared for exact duplicates only."
        )
    if len(flat) < len(recording.logits):
        notes.append(f"{plural(len(recording.logits) - len(flat), 'image')} not compared.")
    if used < HASH_BITS:
        notes.append(f"Because many images are similar, only hashes within {max(used, 0)} bits were compared.")
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
    """Join pairs to groups and count them; `leader` is the first of the images with the same pixels."""
    first, second, similarities = near
    everyone = np.arange(len(rows))
    edges = np.concatenate([first, everyone]), np.concatenate([second, leader])
    group = joined_groups(*edges, len(rows)) if len(rows) else everyone
    split, target = splits.codes[rows], recording.targets[rows]
    leaking, contradicting = _mixed(group, split), _mixed(group, target)
    copies = np.flatnonzero(leader != everyone)
    pairs = [
        Pair(
            first=int(a),
            second=int(b),
            similarity=float(c),
            across=min(split[a], split[b]) >= 0 and split[a] != split[b],
            contradicts=min(target[a], target[b]) >= 0 and target[a] != target[b],
        )
        for a, b, c in [
            *zip(leader[copies], copies, np.ones(len(copies)), strict=True),
            *zip(first, second, similarities, strict=True),
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
    """Whether an image's group has members with another value; unknown values (-1) match any."""
    known = value >= 0
    kinds = np.unique(np.stack([group[known], value[known]]), axis=1)[0]
    several = np.bincount(kinds, minlength=int(group.max(initial=0)) + 1) > 1
    return np.asarray(known & several[group])


def _table(recording: Recording, rows: NDArray[np.int64], pairs: list[Pair], splits: Splits) -> Table | None:
    """The pairs with their images: leaks first, then different labels, then the most similar."""
    if not pairs:
        return None
    paths, names = recording.subject.images.table["path"], recording.subject.classifier.class_names
    columns = [
        Column(name="image", kind="picture"),
        Column(name="duplicate", kind="picture"),
        Column(name="files"),
        Column(name="labels"),
        *([Column(name="splits")] if splits.names else []),
        Column(name="similarity", kind="number"),
    ]
    ordered = sorted(pairs, key=lambda p: (not p.across, not p.contradicts, -p.similarity, p.first, p.second))
    table: list[list[Cell]] = []
    for pair in ordered[:EXAMPLES_SHOWN]:
        two = [int(rows[pair.first]), int(rows[pair.second])]
        files = [str(paths.iloc[row]) for row in two]
        labels = [names[k] if k >= 0 else "no label" for k in recording.targets[two]]
        where = [splits.names[s] if s >= 0 else "no split" for s in splits.codes[two]] if splits.names else []
        pictures = [stored_picture(recording, row, file) for row, file in zip(two, files, strict=True)]
        both = [" | ".join(files), _either(labels), *([_either(where)] if where else [])]
        table.append([*pictures, *both, round(pair.similarity, 3)])
    cut = f" (the first {EXAMPLES_SHOWN} of {len(pairs)})" if len(pairs) > EXAMPLES_SHOWN else ""
    return Table(title=f"Pairs of duplicates: leaks first, then different labels{cut}", columns=columns, rows=table)


def _either(two: Sequence[str]) -> str:
    return two[0] if two[0] == two[1] else " | ".join(two)
