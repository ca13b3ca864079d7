"""mitigation.balanced: does a last layer trained on balanced images close the gaps?"""

from __future__ import annotations

from deeptroubles.checks.mitigation.shared.last_layer import retrained
from deeptroubles.checks.mitigation.shared.result import Mitigated
from deeptroubles.checks.options import GROUP, LABELS
from deeptroubles.checks.registry import check
from deeptroubles.engine import Engine
from deeptroubles.methods.mitigation.last_layer import balanced_head
from deeptroubles.recording import Recording


@check("mitigation.balanced", needs=[LABELS, GROUP], on_request=True)
def balanced(recording: Recording, engine: Engine, *, seed: int) -> Mitigated:
    """Does a last layer trained on balanced images close the gaps between groups?

    What it asks:
        The last layer is retrained on images with equal numbers from every class of every group (ten times, on
        different images, and averaged), and compared with the classifier itself and with a layer retrained on all.

    Why it matters:
        A network that relies on a shortcut often has features of the object too, and retraining one layer to use them
        is cheap.

    How to read it:
        Half of the images (of each class in each group) are for fitting; all numbers are for the other half. The cost
        in accuracy is counted image by image.

    Limits:
        The rarest class of the rarest group decides how many images are used. The features stay the same. Of several
        --group columns the first is used.

    References:
        P. Kirichenko et al., Last layer re-training is sufficient for robustness to spurious correlations, ICLR 2023.
    """
    return retrained(
        recording,
        engine,
        seed,
        check="mitigation.balanced",
        name="balanced",
        what="Retraining the last layer on balanced images",
        fit=lambda x, targets, groups, classes, seed: balanced_head(x, targets, groups, classes, seed=seed),
    )
