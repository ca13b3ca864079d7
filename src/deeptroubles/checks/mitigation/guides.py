"""How to read what was tried, in the sections of a check's docstring."""

from __future__ import annotations


def reweighing() -> None:
    """Does reweighing close the gaps between groups?

    What it asks:
        The last layer is trained anew on the features that the network has, with images weighted so that class and
        group are independent, and compared with the classifier as it is and with a layer trained without weights.

    Why it matters:
        Where a class is common in one group, the group can stand in for the class.

    How to read it:
        Half of the images (of each class in each group) are for fitting; all numbers are of the other half. The shaded
        range is what would be a warning or a failure. What accuracy it costs is counted image by image.

    Limits:
        The features stay as they are: what they do not hold cannot be used. The penalty is not tuned. Repeating it
        until it looks good makes the half that is shown a half that was fitted on.

    References:
        F. Kamiran, T. Calders, Data preprocessing techniques for classification without discrimination, 2012.

        R. Bellamy et al., AI Fairness 360, 2018.
    """


def balanced() -> None:
    """Does a last layer trained on balanced images close the gaps?

    What it asks:
        The last layer is trained anew on images of which every class of every group has as many (ten times, on other
        images, and averaged), and compared with the classifier as it is and with a layer trained on all images.

    Why it matters:
        A network that relies on a shortcut often has the right features, too; what it does with them is cheap to
        change.

    How to read it:
        Half of the images (of each class in each group) are for fitting; all numbers are of the other half. The shaded
        range is what would be a warning or a failure. What accuracy it costs is counted image by image.

    Limits:
        The rarest class of the rarest group decides how many images are used. The features stay as they are.

    References:
        P. Kirichenko et al., Last layer re-training is sufficient for robustness to spurious correlations, ICLR 2023.
    """


def thresholds() -> None:
    """Can thresholds make groups alike, and at which price?

    What it asks:
        For one class against the rest: one threshold for all, the cheapest of each group, and those that make groups
        alike in how often the class is answered (demographic parity), in true-positive rates (equal opportunity) or in
        accuracy; and your own. A false positive costs the cost ratio, a false negative 1.

    Why it matters:
        The aims exclude one another where groups differ; the table shows what each takes from the others.

    How to read it:
        Thresholds are chosen on half of the images and shown on the other half, so that gaps do not vanish exactly.
        Each pair of bars is one aim before (one threshold for all) and after.

    Limits:
        Thresholds by group use the group at prediction time: that needs it to be known, and the law forbids or
        restricts it in many places and uses. They change no ranking within a group.

    References:
        M. Hardt, E. Price, N. Srebro, Equality of opportunity in supervised learning, NeurIPS 2016.

        J. Wexler et al., The What-If Tool, IEEE TVCG 2020.
    """
