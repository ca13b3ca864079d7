"""Is there a person here? It depends on the camera."""

from __future__ import annotations

import numpy as np
import torch
from skimage.data import lfw_subset
from torch import Tensor
from torch.nn import functional

from deeptroubles.checks.wording import percent
from deeptroubles.classifier import Classifier
from deeptroubles.findings import Column, Table
from deeptroubles.images import ImageSet
from deeptroubles.models.shared.small_networks import NETWORKS
from deeptroubles.planted.networks import trained
from deeptroubles.subject import logits_of
from deeptroubles.tour.shared.drawing import grid, predictions
from deeptroubles.tour.shared.networks import accuracy, photographs
from deeptroubles.tour.shared.workshop import Workshop
from deeptroubles.tour.stop import Number, Shown
from deeptroubles.transforms import gaussian_blur
from deeptroubles.workflows.audit import audit

_NAMES = ("no person", "person")
_TRAINED = 60
"""Images of each class to train on; the other forty are for the test."""
_BLUR = 1.5


def groups(workshop: Workshop) -> Shown:
    """A detector finds nearly every face. Whose faces, and taken by which camera?"""
    pixels, classes = _faces()
    order = torch.randperm(100, generator=torch.Generator().manual_seed(workshop.seed))
    training = torch.cat([order[:_TRAINED], order[:_TRAINED] + 100])
    tested = torch.cat([order[_TRAINED:], order[_TRAINED:] + 100])
    classifier = _detector(pixels[training], classes[training], workshop)
    sharp, labels = pixels[tested], classes[tested]
    cameras = {"new camera": sharp, "old camera": gaussian_blur(sharp, _BLUR)}
    right = accuracy(classifier, sharp, labels)
    finding = audit(
        classifier, _images(cameras, labels), checks="fairness.groups", group="camera", seed=workshop.seed
    ).findings[0]
    counters = {
        "faces, new camera": sharp[labels == 1],
        "faces, old camera": cameras["old camera"][labels == 1],
        "faces upside down": sharp[labels == 1].flip(2),
        "grass": _crops("grass.png"),
        "gravel": _crops("gravel.png"),
    }
    found = {name: _found(classifier, shown) for name, shown in counters.items()}
    lost = found["faces, new camera"] - found["faces, old camera"]
    return Shown(
        see=[
            (
                "A small network was trained on 60 faces and 60 other pictures; on 80 new ones it is right on "
                f"{percent(right)}. The same test by a camera that is less sharp: "
                f"{percent(found['faces, old camera'])} of the faces are found, instead of "
                f"{percent(found['faces, new camera'])}. Overall accuracy hides it, groups show it: {finding.claim}"
            ),
            (
                f"The reason is what the network looks for. It finds a “person” in {percent(found['grass'])} of the "
                f"crops of grass and {percent(found['gravel'])} of gravel: fine detail is enough."
            ),
        ],
        numbers=[
            Number(label="Accuracy on new pictures", value=right, low=0.9),
            Number(label="Faces found with the new camera, minus with the old one", value=lost, low=0.2),
            Number(label="Grass that is a person", value=found["grass"], low=0.5),
        ],
        pictures=[
            *(
                grid(name.capitalize(), pixels[:7], predictions(classifier, pixels[:7]))
                for name, pixels in counters.items()
            ),
            Table(
                title="Predicted as a person",
                columns=[Column(name="pictures"), Column(name="predicted as a person", kind="share")],
                rows=[[name, share] for name, share in found.items()],
            ),
            *finding.evidence[:3],
        ],
        commands=[
            "python examples/person_presence.py runs/person_presence",
            "deeptroubles audit MODEL --images photos.csv --group camera --checks fairness --out runs/groups",
        ],
        tries=[
            "Any column of your manifest can be a group: site, camera, year, or what people gave you about themselves."
        ],
    )


def _faces() -> tuple[Tensor, Tensor]:
    """100 faces of Labeled Faces in the Wild and 100 crops without a face, which come with scikit-image."""
    arrays = np.round(np.clip(lfw_subset(), 0, 1) * 255).astype(np.float32) / 255  # type: ignore[no-untyped-call]
    return torch.from_numpy(arrays)[:, None], torch.tensor([1] * 100 + [0] * 100)


def _detector(pixels: Tensor, classes: Tensor, workshop: Workshop) -> Classifier:
    """A network trained on the images, their mirror images and some in other light."""
    both = torch.cat([pixels, pixels.flip(3), (0.7 * pixels + 0.1), (1.25 * pixels - 0.1).clamp(0, 1)])
    network = trained(
        lambda count: NETWORKS["plain"](count, 1), both, classes.repeat(4), workshop.seed, epochs=workshop.pick(10, 16)
    )
    return Classifier(network, size=25, channels=1, mean=[0.5], std=[0.5], class_names=_NAMES, name="person or not")


def _images(cameras: dict[str, Tensor], labels: Tensor) -> ImageSet:
    arrays = (torch.cat(list(cameras.values()))[:, 0] * 255).round().to(torch.uint8).numpy()
    names = [_NAMES[k] for k in labels.tolist()] * len(cameras)
    column = [camera for camera in cameras for _ in labels]
    return ImageSet.from_arrays(arrays, names, {"camera": column}, name="faces by two cameras")


def _found(classifier: Classifier, pixels: Tensor) -> float:
    return float((logits_of(classifier, pixels).argmax(1) == 1).float().mean())


def _crops(name: str) -> Tensor:
    """Crops of 25 x 25 pixels of a photograph that is scaled to a height of 200 pixels."""
    images = photographs()
    image = images[list(images.table["path"]).index(name)].convert("L").resize((200, 200))
    pixels = torch.from_numpy(np.asarray(image, dtype=np.float32) / 255)[None, None]
    return functional.unfold(pixels, 25, stride=25)[0].T.reshape(-1, 1, 25, 25)
