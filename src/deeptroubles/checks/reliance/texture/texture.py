"""reliance.texture."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from deeptroubles.checks.limits import MIN_IMAGES, few, judge
from deeptroubles.checks.options import CONFLICT
from deeptroubles.checks.registry import check
from deeptroubles.checks.reliance.texture import conflict as of_conflict
from deeptroubles.checks.reliance.texture import suppression as of_suppression
from deeptroubles.checks.reliance.texture.conflict import HUMANS, NETWORKS, Conflict, ask_conflict
from deeptroubles.checks.reliance.texture.suppression import Suppression, ask_suppression
from deeptroubles.checks.wording import percent
from deeptroubles.engine import Engine
from deeptroubles.findings import Evidence, Finding, Verdict
from deeptroubles.recording import Recording


@dataclass(frozen=True, kw_only=True)
class Texture:
    """What both protocols gave.

    Attributes:
        name: What the classifier is called.
        conflict: Images with the shape of one class and the texture of another, where they are given.
        suppression: The audited images without shape, texture or colour; or why that is not possible.
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
            verdicts.append(judge(share, count, warn_at=of_conflict.WARN_AT, fail_at=of_conflict.FAIL_AT))
            severities.append(share.value if count else 0.0)
            claims.append(self.conflict.claim())
            caveats += [*few(count), *self.conflict.caveats()]
            evidence += self.conflict.evidence(self.name)
        if isinstance(self.suppression, Suppression):
            excess, count = self.suppression.excess, len(self.suppression.changed)
            limits = of_suppression
            verdicts.append(judge(excess, count, warn_at=limits.WARN_AT, fail_at=limits.FAIL_AT))
            severities.append(max(0.0, excess.value))
            claims.append(self.suppression.claim())
            caveats += [*few(count), *self.suppression.caveats()]
            evidence += self.suppression.evidence()
        else:
            caveats.append(f"The images were not shown without shape and texture: {self.suppression}.")
        if not verdicts:
            claim = f"Not asked: {self.suppression}, and there are no images with a conflict of cues (--conflict)."
            yield Finding(check="reliance.texture", verdict=Verdict.SKIPPED, claim=claim, criterion="")
            return
        order = list(Verdict)
        if len(verdicts) == 2 and (verdicts[0] in _TROUBLE) != (verdicts[1] in _TROUBLE):
            claims.append("The two protocols disagree; the verdict is the worse of the two.")
        yield Finding(
            check="reliance.texture",
            verdict=min(verdicts, key=order.index),
            severity=max(severities),
            claim=" ".join(claims),
            criterion=_criterion(),
            evidence=evidence,
            caveats=list(dict.fromkeys(caveats)),
        )


_TROUBLE = {Verdict.FAIL, Verdict.WARN}


def _criterion() -> str:
    conflict, suppression = of_conflict, of_suppression
    published = ", ".join(f"{name} {percent(bias)}" for name, (bias, _) in NETWORKS.items())
    return (
        f"With a conflict of cues (where one is given), fails when more than {percent(conflict.FAIL_AT)} of the "
        f"decisions that follow shape or texture follow the texture, with 95 % confidence, and warns above "
        f"{percent(conflict.WARN_AT)}. With suppression, fails when texture taken away changes more answers than shape "
        f"taken away by {percent(suppression.FAIL_AT)} of all, and warns above {percent(suppression.WARN_AT)}. Passes "
        f"when more than the limit of failing can be ruled out; inconclusive otherwise, and below {MIN_IMAGES} images. The "
        f"thresholds and the strengths are our convention. Published shape bias: people {percent(HUMANS[0])}, "
        f"{published}."
    )


@check("reliance.texture", options=[CONFLICT])
def texture(recording: Recording, engine: Engine, *, seed: int) -> Texture:
    """Does texture decide more than shape?

    What it asks:
        Two things, because they can disagree. With `--conflict FOLDER`, images that have the shape of one class and the
        texture of another: which of the two is answered? And of your own images: do more answers change when texture is
        taken away (bilateral, Gaussian and non-local-means blur) or when shape is (patches change places, or are
        turned), at strengths from mild to strong?

    Why it matters:
        People name things by their shape. Networks trained on ImageNet name cue-conflict images mostly by their
        texture, which noise, weather and processing change; those trained on stylized images do not, and bear more.

    How to read it:
        Shape bias is the share of decisions by shape among those by shape or texture (Wilson, 95 %); the share of
        trials that count stands beside it, because the others say nothing. For networks with the 1000 classes of
        ImageNet and the published names, probabilities are averaged over the classes of each of 16 categories, as
        published; else file names (or names of folders) `<shape>-<texture>` are those of the model's own classes.
        Without colour, answers are shown too, and not judged. Protocols that do not fit together are no error: the
        first asks which cue wins, the second which can be missed.

    Limits:
        Images made by style transfer have other oddities than a conflict. The strengths of suppression are not
        comparable in an absolute sense. Where classes differ in texture alone, texture is what should decide. Answers
        are compared with the one before, right or wrong. Suppression needs 1 or 3 channels, and 14 pixels or more.

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
