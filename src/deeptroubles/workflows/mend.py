"""Train a model against a problem that an audit found, to audit it again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

from deeptroubles.errors import ImagesError, UsageError, nearest
from deeptroubles.images import ImageSet, load_images
from deeptroubles.methods.surgery.anti_aliased import anti_aliased
from deeptroubles.methods.transforms.shared.named_cue import fit_cues
from deeptroubles.models import load_classifier, runs_code
from deeptroubles.models.shared.model_folder import FACTS, ModelFacts, read_facts
from deeptroubles.training.model_card import IMAGES, Trained
from deeptroubles.training.plan import TUNED, Plan
from deeptroubles.training.remedy import Remedy, adversarial, cue_at_random, other_textures
from deeptroubles.training.trained_layers import Depth
from deeptroubles.workflows.choices import REMEDIES
from deeptroubles.workflows.train import FROM_SCRATCH, free_folder, labelled_images, trained_into

_DEPTH: dict[str, Depth] = {"temperature": "none", "balanced": "head"}


def mend(
    base: str,
    out: Path | str,
    by: str,
    images: ImageSet | None = None,
    *,
    cue: Sequence[str] = (),
    group: str | None = None,
    epsilon: float = 8 / 255,
    depth: Depth | None = None,
    epochs: int | None = None,
    name: str | None = None,
    seed: int = 0,
    device: str = "cpu",
) -> Trained:
    """Train a model further, against a problem, and write the result as a folder that is a model.

    Args:
        base: The model. One that `train` made is trained on the same images as before, with the same ones held out.
        out: The folder of the mended model.
        by: A key of REMEDIES.
        images: Images with labels that are classes of the model. Default: those that the model was trained on.
        cue: For `cue`: which, as for the check `reliance.cue`; `run:FOLDER` for those that an audit found.
        group: For `balanced`: the column of the groups.
        epsilon: For `adversarial`: the largest change of a pixel, for pixels in [0, 1].
        depth: Which layers are trained. Default: all.
        epochs: Passes over the images. Default: 12.
        name: What to call the model. Default: the name of the folder.
        seed: Seed of everything random.
        device: Where to train.

    Raises:
        UsageError: There is no such remedy, or what it needs was not given.
        ImagesError: The images have no labels of the model, or too few to hold any out.
        ModelError: The model cannot be loaded, or has no last layer of its own.
        RunFolderError: The folder holds another model or training, or cannot be written.
    """
    out = free_folder(out)
    begun = (Path(base) / FACTS).is_file()
    if images is None:
        if not begun:
            raise UsageError("Say which images to train on, with --images; only a model that `train` made has its own.")
        images = load_images(Path(base) / IMAGES)
    classifier = load_classifier(base)
    images = _of_its_classes(labelled_images(images, group), classifier.class_names)
    remedy = _remedy(by, images, cue, group, epsilon)
    known = (
        read_facts(Path(base)) if begun else ModelFacts(base=base, class_names=list(classifier.class_names), name="")
    )
    plan = Plan(
        depth=_DEPTH.get(by, depth or "all"),
        epochs=epochs or TUNED.epochs,
        # What was learned from scratch may have to be learned anew: a network that relies on a cue knows no shapes.
        scratch=known.base.startswith(FROM_SCRATCH),
        augmentation=known.training.get("augmentation", "crop,flip"),
        group=group,
        seed=seed,
    )
    facts = replace(
        known,
        code=known.code or runs_code(base),
        name=name or out.resolve().name,
        training={**asdict(plan), "mended": base, "by": remedy.name},
    )
    if by == "anti-aliased":
        if facts.anti_aliased:
            raise UsageError(f"{base} is anti-aliased already.")
        classifier, facts = anti_aliased(classifier), replace(facts, anti_aliased=True)
    return trained_into(out, classifier.to(device), facts, images, plan, remedy)


def _remedy(by: str, images: ImageSet, cue: Sequence[str], group: str | None, epsilon: float) -> Remedy:
    """What is done in training. Raises UsageError where it needs something that was not given."""
    if by == "temperature":
        return Remedy(name=by, calibrates=True)
    if by == "balanced":
        if not group:
            raise UsageError("balanced needs the column of the groups, with --group.")
        return Remedy(name=f"{by} by {group}", balances=group)
    if by == "cue":
        cues = fit_cues(cue, images)
        if not cues or any(each.kind in {"column", "mask"} for each in cues):
            raise UsageError(
                "cue needs a cue that can be put into images, with --cue: run:FOLDER for what an audit found, "
                "FILE.png@PLACE, text:WORDS, color:#rrggbb or watermark."
            )
        return Remedy(name=f"{by} {', '.join(cue)}", views=cue_at_random(cues))
    if by == "anti-aliased":
        return Remedy(name=by)
    if by == "textures":
        return Remedy(name=by, views=other_textures)
    if by == "adversarial":
        return Remedy(name=f"{by} with epsilon {epsilon:g}", attack=adversarial(epsilon))
    raise UsageError(f"There is no remedy {by!r}; choose {', '.join(REMEDIES)}.{nearest(by, REMEDIES)}")


def _of_its_classes(images: ImageSet, classes: Sequence[str]) -> ImageSet:
    """The images whose label is a class of the model. Raises ImagesError where there are none of two classes."""
    known = images.subset([str(label) in set(classes) for label in images.labels])
    if len({*known.labels}) < 2:
        raise ImagesError(f"The labels must be names of the model's classes, such as {', '.join(classes[:3])}.")
    return known
