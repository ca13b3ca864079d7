"""Shape against texture."""

from __future__ import annotations

from deeptroubles.checks.wording import percent
from deeptroubles.findings import Cell, Column, Table
from deeptroubles.subject import logits_of
from deeptroubles.tour.shared.drawing import grid, predictions
from deeptroubles.tour.shared.networks import embedded, photographs
from deeptroubles.tour.shared.textures import CLASSES, conflicts, texture_network
from deeptroubles.tour.shared.workshop import Workshop
from deeptroubles.tour.stop import Number, Shown
from deeptroubles.workflows.audit import audit


def shape_or_texture(workshop: Workshop) -> Shown:
    """A cat with the skin of an elephant: what does a network see?"""
    classifier = texture_network(workshop, stylized=False)
    stimuli = conflicts(workshop.pick(240, 480), workshop.seed + 5)
    decided = logits_of(classifier, stimuli.images).argmax(1)
    by_shape, by_texture = decided == stimuli.shapes, decided == stimuli.textures
    bias = float(by_shape.sum() / (by_shape | by_texture).sum().clamp(min=1))
    rows = list[list[Cell]]()
    for k, name in enumerate(CLASSES):
        of = stimuli.shapes == k
        shape, texture = int(by_shape[of].sum()), int(by_texture[of].sum())
        rows.append([name, shape, texture, int(of.sum()) - shape - texture, shape / max(shape + texture, 1)])
    columns = [
        Column(name="shape"),
        *(Column(name=name, kind="number") for name in ("by shape", "by texture", "neither")),
    ]
    columns.append(Column(name="shape bias", kind="share"))
    images = photographs()
    finding = audit(
        embedded(workshop),
        images.subset(range(workshop.pick(6, len(images)))),
        checks="reliance.texture",
        seed=workshop.seed,
    ).findings[0]
    first = stimuli.images[:7]
    notes = [
        f"{CLASSES[s]} with {CLASSES[t]}'s texture"
        for s, t in zip(stimuli.shapes[:7].tolist(), stimuli.textures[:7].tolist(), strict=True)
    ]
    return Shown(
        see=[
            (
                "Each class has a shape and a texture of its own. In these images they conflict, and the network "
                f"decides: {percent(bias)} of its decisions for either are for the shape. People are at about 95% on "
                "photographs, published ImageNet networks mostly at 20% to 40%."
            ),
            f"The embedded network on photographs whose shape or texture is removed: {finding.claim}",
        ],
        numbers=[Number(label="Shape bias of a network whose textures were informative", value=bias, high=0.5)],
        pictures=[
            grid("Shape of one class, texture of another", first, predictions(classifier, first), notes),
            Table(title="Decisions by shape and by texture", columns=columns, rows=rows),
            *finding.evidence,
        ],
        commands=[
            "deeptroubles stylize --images photos/ --styles paintings/ --out stimuli/",
            (
                "deeptroubles audit MODEL --images photos/ --conflict stimuli/ --checks reliance.texture --out "
                "runs/texture"
            ),
        ],
        tries=[
            "--conflict takes the published stimuli of Geirhos et al. for any network with the classes of ImageNet."
        ],
    )
