"""mitigation.reweighing: does reweighing close the gaps between groups?"""

from __future__ import annotations

from deeptroubles.checks.mitigation.shared.last_layer import retrained
from deeptroubles.checks.mitigation.shared.result import Mitigated
from deeptroubles.checks.options import GROUP, LABELS
from deeptroubles.checks.registry import check
from deeptroubles.engine import Engine
from deeptroubles.methods.mitigation import reweighing as method
from deeptroubles.methods.mitigation.last_layer import fit_head
from deeptroubles.recording import Recording


@check("mitigation.reweighing", needs=[LABELS, GROUP], on_request=True)
def reweighing(recording: Recording, engine: Engine, *, seed: int) -> Mitigated:
    """Does reweighing close the gaps between groups?

    What it asks:
        The last layer is retrained on the network's features, with images weighted so that class and group are
        independent, and compared with the classifier itself and with a layer retrained without weights.

    Why it matters:
        If a class is common in one group, the network can use the group to predict the class.

    How to read it:
        Half of the images (of each class in each group) are for fitting; all numbers are for the other half. The cost
        in accuracy is counted image by image.

    Limits:
        The features stay the same: what they do not encode cannot be used. The penalty is not tuned. Repeating it until
        the result looks good makes the held-out half a fitted one. Of several --group columns the first is used.

    References:
        F. Kamiran, T. Calders, Data preprocessing techniques for classification without discrimination, 2012.

        R. Bellamy et al., AI Fairness 360, 2018.
    """
    return retrained(
        recording,
        engine,
        seed,
        check="mitigation.reweighing",
        name="reweighed",
        what="Retraining the last layer on reweighed images",
        fit=lambda x, targets, groups, classes, _: fit_head(x, targets, classes, method.reweighing(targets, groups)),
    )
