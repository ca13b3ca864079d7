"""The kinds of edits: small frozen values that are checked when they are made, and that JSON can hold."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from deeptroubles.errors import UsageError
from deeptroubles.methods.parameters import Seed, Severity
from deeptroubles.methods.transforms.corrupt import CORRUPTIONS

MOST_SIDE = 4096
"""Pixels along a side of a patch, and of its distance from the image's corner."""
_MOST_TEXT = 24 * 2**20
Row = Annotated[int, Field(ge=0, lt=2**31)]
Place = Annotated[int, Field(ge=-MOST_SIDE, le=MOST_SIDE)]


def _known(name: str) -> str:
    if name not in CORRUPTIONS:
        raise ValueError(f"there is no corruption of this name; choose one of {', '.join(CORRUPTIONS)}")
    return name


CorruptionName = Annotated[str, AfterValidator(_known), Field(json_schema_extra={"enum": list(CORRUPTIONS)})]


class Edited(BaseModel):
    """What all edits share."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Patch(Edited):
    """Pixels laid over the image: a brush stroke, an erased or hidden part, a copy of another part.

    Attributes:
        top: Row of the patch's first pixel; it may lie outside of the image. Likewise `left`.
        png: The patch as a PNG file with transparency, in base64.
    """

    kind: Literal["patch"] = "patch"
    top: Place
    left: Place
    png: Annotated[str, Field(max_length=_MOST_TEXT)]


class Shift(Edited):
    """Shift by whole pixels; the image is mirrored at its border."""

    kind: Literal["shift"] = "shift"
    down: Place = 0
    right: Place = 0


class Turn(Edited):
    """Rotate counter-clockwise around the center, in degrees; the image is mirrored at its border."""

    kind: Literal["turn"] = "turn"
    degrees: Annotated[float, Field(ge=-180, le=180)]


class Scale(Edited):
    """Enlarge (above 1) or shrink what the image shows around its center."""

    kind: Literal["scale"] = "scale"
    factor: Annotated[float, Field(ge=0.2, le=5)]


class Mirror(Edited):
    """Mirror left and right (horizontal), or top and bottom (vertical)."""

    kind: Literal["mirror"] = "mirror"
    axis: Literal["horizontal", "vertical"] = "horizontal"


class Brightness(Edited):
    """Add to every channel; 1 makes everything white, -1 black."""

    kind: Literal["brightness"] = "brightness"
    amount: Annotated[float, Field(ge=-1, le=1)]


class Contrast(Edited):
    """Multiply every channel's distance from its mean; 1 changes nothing."""

    kind: Literal["contrast"] = "contrast"
    factor: Annotated[float, Field(ge=0, le=5)]


class Hue(Edited):
    """Turn the colors around the color circle (HSV), in degrees."""

    kind: Literal["hue"] = "hue"
    degrees: Annotated[float, Field(ge=-180, le=180)]


class Saturation(Edited):
    """Multiply the distance of the colors from gray; 0 is grayscale, 1 changes nothing."""

    kind: Literal["saturation"] = "saturation"
    factor: Annotated[float, Field(ge=0, le=5)]


class Blur(Edited):
    """A Gaussian blur; its standard deviation in pixels."""

    kind: Literal["blur"] = "blur"
    sigma: Annotated[float, Field(ge=0, le=50)]


class Noise(Edited):
    """Gaussian noise of a standard deviation (pixels are in [0, 1])."""

    kind: Literal["noise"] = "noise"
    sigma: Annotated[float, Field(ge=0, le=1)]
    seed: Seed = 0


class Jpeg(Edited):
    """Compress as JPEG; quality 1 to 100."""

    kind: Literal["jpeg"] = "jpeg"
    quality: Annotated[int, Field(ge=1, le=100)]


class Corruption(Edited):
    """One of the 19 corruptions of ImageNet-C, at a severity of 1 to 5."""

    kind: Literal["corruption"] = "corruption"
    name: CorruptionName
    severity: Severity
    seed: Seed = 0


class Background(Edited):
    """Put the object on the background of another image; needs a mask of the object, and comes before other edits."""

    kind: Literal["background"] = "background"
    row: Row


class Blend(Edited):
    """Mix with another image; a share of 0 changes nothing, 1 is the other image."""

    kind: Literal["blend"] = "blend"
    row: Row
    share: Annotated[float, Field(ge=0, le=1)]


Edit = Annotated[
    Patch
    | Shift
    | Turn
    | Scale
    | Mirror
    | Brightness
    | Contrast
    | Hue
    | Saturation
    | Blur
    | Noise
    | Jpeg
    | Corruption
    | Background
    | Blend,
    Field(discriminator="kind"),
]
"""Any edit; `kind` says which."""

_ONE: TypeAdapter[Any] = TypeAdapter(Edit)


def read_edit(values: dict[str, Any]) -> Edit:
    """An edit of plain values, such as `{"kind": "turn", "degrees": 90}`.

    Raises:
        UsageError: There is no such edit, or a value is out of its range.
    """
    try:
        edit: Edit = _ONE.validate_python(values)
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(map(str, first["loc"])) or "edit"
        raise UsageError(f"The edit {values.get('kind', '')!s} is not allowed: {name}: {first['msg']}.") from None
    return edit


def varied(edit: Edit, parameter: str, value: float) -> Edit:
    """The same edit with another value of a numeric parameter; whole numbers are rounded.

    Raises:
        UsageError: The edit has no such parameter, or the value is out of its range.
    """
    held = getattr(edit, parameter, None) if parameter in type(edit).model_fields else None
    if not isinstance(held, int | float):
        numbers = [name for name in type(edit).model_fields if isinstance(getattr(edit, name), int | float)]
        raise UsageError(f"{edit.kind} has no number {parameter!r}; it has {', '.join(numbers) or 'none'}.")
    return read_edit(edit.model_dump() | {parameter: round(value) if isinstance(held, int) else value})
