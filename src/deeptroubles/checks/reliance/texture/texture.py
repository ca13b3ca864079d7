"""reliance.texture: do predictions follow texture rather than shape?"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from deeptroubles.checks.limits import few
from deeptroubles.checks.options import CONFLICT
from deeptroubles.checks.registry import check
from deeptroubles.checks.reliance.texture import conflict, suppression
from deeptroubles.checks.reliance.texture.conflict import Conflict, ask_conflict
from deeptroubles.checks.reliance.texture.suppression import Suppression, ask_suppression
from deeptroubles.engine import Engine
from deeptroubles.findings import Evidence, Finding, Verdict
from deeptroubles.recording import Recording


@dataclass(frozen=True, kw_only=True)
class Texture:
    """The results of both protocols.

    Attributes:
        name: The classifier's name.
        conflict: Cue conflict, where images for it were given.
        suppression: Suppression of shape, texture and color; or why it is not possible.
    """

    name: str
    conflict: Conflict | None
    suppression: Suppression | str

    def findings(self) -> Iterable[Finding]:
        """One finding: the worse of the two verdicts."""
        verdicts, severities = list[Verdict](), list[float]()
        claims, caveats, evidence = list[str](), list[str](), list[Evidence]()
        if self.conflict:
            share, count = self.conflict.texture_share, self.conflict.counted
            verdicts.append(conflict.LIMITS.verdict(share, count))
            severities.append(share.value if count else 0.0)
            claims.append(self.conflict.claim())
            caveats += [*few(count), *self.conflict.caveats()]
            evidence += self.conflict.evidence(self.name)
        if isinstance(self.suppression, Suppression):
            excess, count = self.suppression.excess, len(self.suppression.changed)
            verdicts.append(suppression.LIMITS.verdict(excess, count))
            severities.append(max(0.0, excess.value))
            claims.append(self.suppression.claim())
            caveats += [*few(count), *self.suppression.caveats()]
            evidence += self.suppression.evidence()
        else:
            caveats.append(f"Shape and texture were not suppressed: {self.suppression}.")
        if not verdicts:
            claim = f"Skipped: {CONFLICT.to_add} ({self.suppression})."
            yield Finding(check="reliance.texture", verdict=Verdict.SKIPPED, claim=claim, criterion="")
            return
        if len(verdicts) == 2 and (verdicts[0] in _PROBLEM) != (verdicts[1] in _PROBLEM):
            caveats.append("The two protocols disagree; the verdict is the worse of the two.")
        yield Finding(
            check="reliance.texture",
            verdict=min(verdicts, key=list(Verdict).index),
            severity=max(severities),
            claim="; ".join(claims) + ".",
            criterion=f"{conflict.LIMITS.criterion} {suppression.LIMITS.criterion} The worse verdict counts.",
            evidence=evidence,
            caveats=list(dict.fromkeys(caveats)),
        )


_PROBLEM = {Verdict.FAIL, Verdict.WARN}


@check("reliance.texture", options=[CONFLICT])
def texture(recording: Recording, engine: Engine, *, seed: int) -> Texture:
    """Do predictions follow texture rather than shape?

    What it asks:
        Two protocols. With `--conflict FOLDER`, images with the shape of one class and the texture of another: which of
        the two is predicted? On your own images: do more predictions change when texture is suppressed (bilateral,
        Gaussian and non-local-means blur) or when shape is (patches are shuffled or rotated), from mild to strong?

    Why it matters:
        People name things by their shape. Networks trained on ImageNet classify cue-conflict images mostly by their
        texture, which noise, weather and processing change. Networks trained on stylized images do not, and their
        accuracy falls less under such changes.

    How to read it:
        Shape bias is the share of decisions by shape among those by shape or texture (Wilson interval, 95%). Images
        that are decided by neither do not count, so their share is shown next to it. For networks with the 1000
        classes of ImageNet and the published file names, probabilities are averaged over the classes of each of 16
        categories, as published; otherwise names of files or folders, `<shape>-<texture>`, are classes of the model.
        Suppression of color is shown and not judged. The two protocols can disagree: the first measures which cue
        wins, the second which cue is needed.

    Limits:
        Images made by style transfer differ from photographs in other ways too. The strengths of suppression are not
        comparable in an absolute sense. Where classes differ in texture only, texture should decide. Suppression
        compares predictions with those for the unchanged images, correct or not. It needs 1 or 3 channels, and inputs
        of 14 pixels or more.

    References:
        R. Geirhos et al., ImageNet-trained CNNs are biased towards texture, ICLR 2019. T. Burgert et al.,
        ImageNet-trained CNNs are not biased towards texture, NeurIPS 2025. `deeptroubles stylize` makes such images.
    """
    images = CONFLICT.of(recording)
    classifier = recording.subject.classifier
    return Texture(
        name=classifier.name,
        conflict=None if images is None else ask_conflict(classifier, images, engine),
        suppression=ask_suppression(recording, engine, seed),
    )
