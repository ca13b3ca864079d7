"""What if: edit an image and see what the model predicts, why, what is near, and how it responds to a parameter."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Annotated, Any

import numpy as np
import torch
from fastapi import APIRouter, HTTPException, Path, Request
from fastapi.responses import Response
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field
from starlette.concurrency import run_in_threadpool
from torch import Tensor
from torch.nn import functional

from deeptroubles.classifier import Classifier
from deeptroubles.errors import ModelError, UsageError
from deeptroubles.methods.attribution.shared.quality import is_constant
from deeptroubles.methods.catalogue import ATTRIBUTION, Method, find_method, parse_settings
from deeptroubles.methods.edits.kinds import Edit
from deeptroubles.methods.edits.response_curve import response_curve, versions
from deeptroubles.pictures import as_data_uri
from deeptroubles.progress import track
from deeptroubles.serving.editing import MOST_BYTES, Editor, ImageId, NoSuchImageError, picture_of, png
from deeptroubles.serving.jobs import Job, Jobs
from deeptroubles.serving.pages.catalogue import settings_of
from deeptroubles.serving.pages.thumbnails import held, keep_table
from deeptroubles.serving.workbench import NotComputableError, Workbench
from deeptroubles.statistics.intervals import mean_share
from deeptroubles.subject import logits_of
from deeptroubles.workflows.counterfactuals import Described, Near, describe, describe_pixels, nearest_counterfactuals

TOP = 5
"""Classes that are always shown."""
GRID = 64
"""Rows and columns of a map, at most."""
NEAREST = 3
EXPORTED = 500
"""Images whose pictures a static copy has, at most."""
Row = Annotated[int, Field(ge=0, lt=2**31)]
Name = Annotated[str, Field(min_length=1, max_length=80)]
Index = Annotated[int, Field(ge=0, lt=2**31)]


class Asked(BaseModel):
    """An image with its edits.

    Attributes:
        image: Its row, or the name of an upload.
        edits: What was done to it, in order.
    """

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)
    image: Row | Name
    edits: Annotated[list[Edit], Field(max_length=300)] = []


class LookAsked(Asked):
    """An edited image to look at.

    Attributes:
        classes: Classes to show besides the most probable ones.
        picture: Whether the edited picture is wanted.
        beside: Whether the second model is asked too.
    """

    classes: Annotated[list[Index], Field(max_length=20)] = []
    picture: bool = True
    beside: bool = False


class ExplanationAsked(Asked):
    """A map of what a prediction depends on.

    Attributes:
        method: A method of the family attribution.
        settings: Its settings as texts; '' is the default.
        target: The class that is explained. Default: the predicted one.
        against: The class whose map is taken off. Default: none.
    """

    method: Annotated[str, Field(max_length=60)]
    settings: dict[Annotated[str, Field(max_length=60)], Annotated[str, Field(max_length=200)]] = {}
    target: Index | None = None
    against: Index | None = None


class NearestAsked(Asked):
    """The nearest images with another prediction.

    Attributes:
        to: The prediction that they must have. Default: any other.
    """

    to: Index | None = None


class CurveAsked(BaseModel):
    """A response curve.

    Attributes:
        images: The images: one, or a slice.
        edits: What is done to each.
        place: The index of the edit that varies.
        parameter: Its parameter.
        start: Its first value.
        stop: Its last value.
        steps: How many values.
        classes: The classes to follow.
    """

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)
    images: Annotated[list[Row | Name], Field(min_length=1, max_length=100)]
    edits: Annotated[list[Edit], Field(min_length=1, max_length=300)]
    place: Annotated[int, Field(ge=0, lt=300)]
    parameter: Annotated[str, Field(max_length=60)]
    start: float
    stop: float
    steps: Annotated[int, Field(ge=2, le=41)] = 21
    classes: Annotated[list[Index], Field(min_length=1, max_length=6)]


@dataclass(frozen=True, kw_only=True)
class ClassScore:
    """A class with its probability.

    Attributes:
        index: The class.
        name: Its name.
        before: Its probability for the unedited image.
        after: Its probability for the edited one.
    """

    index: int
    name: str
    before: float
    after: float


@dataclass(frozen=True, kw_only=True)
class Look:
    """What a model predicts for an edited image.

    Attributes:
        scores: The most probable classes after the edits and before, and those that were asked for; most probable
            first.
        beside: Likewise for the second model; empty where it was not asked.
        picture: The edited picture as a data URI (PNG); null where it was not asked for.
        milliseconds: How long the edits and the prediction took.
        whole_milliseconds: How long a whole forward pass of one image takes.
        incremental: Whether only what changed was computed.
    """

    scores: list[ClassScore]
    beside: list[ClassScore]
    picture: str | None
    milliseconds: float
    whole_milliseconds: float
    incremental: bool


@dataclass(frozen=True, kw_only=True)
class Upload:
    """An uploaded image.

    Attributes:
        image: Its name.
    """

    image: str


@dataclass(frozen=True, kw_only=True)
class Explanation:
    """A map: what a prediction depends on.

    Attributes:
        values: Rows of numbers, at most 64 x 64; signed.
        method: The method.
        target: Name of the class that is explained.
        against: Name of the class whose map was taken off; '' if none.
        seconds: How long it took.
    """

    values: list[list[float]]
    method: str
    target: str
    against: str
    seconds: float


@dataclass(frozen=True, kw_only=True)
class Neighbor:
    """An image that is near.

    Attributes:
        row: Its row.
        path: Where it is.
        prediction: Its predicted class.
        name: The name of that class.
        confidence: The probability of that class.
        distance: Its distance, as a multiple of the typical distance between two images.
    """

    row: int
    path: str
    prediction: int
    name: str
    confidence: float
    distance: float


@dataclass(frozen=True, kw_only=True)
class Nearest:
    """The nearest images with another prediction.

    Attributes:
        ready: Whether all images were described; otherwise POST /what-if/describe starts that.
        by_embedding: By what the last layer gets.
        by_pixels: By pixels, at 32 x 32 or less.
    """

    ready: bool
    by_embedding: list[Neighbor]
    by_pixels: list[Neighbor]


@dataclass(frozen=True, kw_only=True)
class CurveOfClass:
    """How the probability of a class responds.

    Attributes:
        index: The class.
        name: Its name.
        mean: The mean over images, per value.
        low: The lower end of its 95% interval over images. Likewise `high`.
        each: The probability per image and value.
    """

    index: int
    name: str
    mean: list[float]
    low: list[float]
    high: list[float]
    each: list[list[float]]


@dataclass(frozen=True, kw_only=True)
class ResponseCurve:
    """How predictions respond to a parameter.

    Attributes:
        parameter: The edit and its parameter.
        values: The values of the parameter.
        classes: One curve each.
        images: How many images.
    """

    parameter: str
    values: list[float]
    classes: list[CurveOfClass]
    images: int


def router(bench: Workbench, jobs: Jobs) -> APIRouter:
    """Addresses of what-if."""
    at = APIRouter(prefix="/what-if", tags=["what if"])
    editor = Editor(bench)
    _add_preparing(at, bench, jobs, editor)
    _add_looking(at, bench, editor)
    _add_explaining(at, bench, jobs, editor)
    _add_nearest(at, bench, jobs, editor)
    _add_curves(at, bench, jobs, editor)
    return at


def _add_preparing(at: APIRouter, bench: Workbench, jobs: Jobs, editor: Editor) -> None:
    @at.post("/prepare", status_code=202)
    def prepare() -> int | None:
        """Do what is slow and only done once; the number of the job, or null where nothing is left to do."""
        _ = bench.opened
        if editor.is_prepared and held(bench):
            return None

        def work(_job: Job) -> None:
            with bench.computing():
                keep_table(bench)
                editor.prepare()

        return jobs.start("Reading images and model", work).id


def _add_looking(at: APIRouter, bench: Workbench, editor: Editor) -> None:
    @at.post("/upload", status_code=201, openapi_extra=_UPLOAD)
    async def upload(request: Request) -> Upload:
        """Keep a picture (the body is a PNG, JPEG or WebP file) for a while."""
        _ = bench.opened
        body = bytearray()
        async for part in request.stream():
            body += part
            if len(body) > MOST_BYTES:
                raise HTTPException(413, f"An upload may have {MOST_BYTES // 2**20} MB.")
        return Upload(image=await run_in_threadpool(_uploaded, bench, editor, bytes(body)))

    @at.get("/picture/{image}", response_class=Response)
    def picture(image: Annotated[str, Path(max_length=80)]) -> Response:
        """An image as the model takes it (PNG), by its row or the name of an upload."""
        which = int(image) if image.isascii() and image.isdecimal() else image
        with _holding(bench, which):
            content = png(editor.original(which))
        return Response(content, media_type="image/png", headers={"cache-control": "no-cache"})

    @at.post("/look")
    def look(asked: LookAsked) -> Look:
        """What the model predicts for an edited image."""
        _check_classes(bench.classifier, asked.classes)
        with _holding(bench, asked.image):
            return _look(bench, editor, asked)


def _add_explaining(at: APIRouter, bench: Workbench, jobs: Jobs, editor: Editor) -> None:
    @at.post("/explain", status_code=202)
    def explain(asked: ExplanationAsked) -> int:
        """Explain what the model predicts for an edited image; the number of the job, which gives an Explanation."""
        _check_classes(bench.classifier, [each for each in (asked.target, asked.against) if each is not None])
        method, settings = _method(asked)
        with _holding(bench, asked.image):
            pixels = editor.edited(asked.image, asked.edits)

        def work(_job: Job) -> dict[str, Any]:
            with bench.lock:
                return asdict(_explain(editor.classifier, pixels, method, settings, asked))

        return jobs.start(f"Explaining with {method.name}", work).id


def _add_nearest(at: APIRouter, bench: Workbench, jobs: Jobs, editor: Editor) -> None:
    described: list[Described] = []

    @at.post("/nearest")
    def nearest(asked: NearestAsked) -> Nearest:
        """The nearest images with another prediction than the edited image."""
        _check_classes(bench.classifier, [] if asked.to is None else [asked.to])
        with _holding(bench, asked.image):
            if not described:
                return Nearest(ready=False, by_embedding=[], by_pixels=[])
            return _nearest(bench, editor, described[0], asked)

    @at.post("/describe", status_code=202)
    def describe_images() -> int:
        """Read the embeddings of all images; the number of the job."""
        _ = bench.opened

        def work(_job: Job) -> None:
            with bench.computing():
                described[:] = [describe(bench.recording, bench.engine)]

        return jobs.start("Reading embeddings", work).id


def _add_curves(at: APIRouter, bench: Workbench, jobs: Jobs, editor: Editor) -> None:
    @at.post("/curve", status_code=202)
    def curve(asked: CurveAsked) -> int:
        """How predictions respond to a parameter; the number of the job, which gives a ResponseCurve."""
        _check_classes(bench.classifier, asked.classes)
        values = np.linspace(asked.start, asked.stop, asked.steps).tolist()
        lists = versions(asked.edits, asked.place, asked.parameter, values)
        for image in asked.images:
            with _holding(bench, image):
                editor.original(image)
        return jobs.start("Response curve", lambda _job: asdict(_curve(bench, editor, asked, lists))).id


def exported(bench: Workbench) -> Iterator[str]:
    """What a static copy needs: the pictures of not too many images."""
    if bench.is_recorded:
        yield from (f"/what-if/picture/{row}" for row in range(min(EXPORTED, len(bench.recording.logits))))


_UPLOAD = {
    "requestBody": {"content": {"image/*": {"schema": {"type": "string", "format": "binary"}}}, "required": True}
}


@contextmanager
def _holding(bench: Workbench, image: ImageId) -> Iterator[None]:
    """Hold the model while an image is asked for; 404 where it is not there."""
    _ = bench.opened
    if isinstance(image, int) and not bench.is_recorded:
        raise NotComputableError("The model has not seen the images yet; POST /what-if/prepare starts that.")
    try:
        with bench.lock:
            yield
    except NoSuchImageError as error:
        raise HTTPException(404, str(error)) from None


def _uploaded(bench: Workbench, editor: Editor, body: bytes) -> str:
    with bench.lock:
        return editor.upload(body)


def _check_classes(classifier: Classifier, classes: Sequence[int]) -> None:
    wrong = next((index for index in classes if index >= classifier.classes), None)
    if wrong is not None:
        raise HTTPException(422, f"There is no class {wrong}; there are {classifier.classes}.")


def _look(bench: Workbench, editor: Editor, asked: LookAsked) -> Look:
    began = time.perf_counter()
    after = editor.look(asked.image, asked.edits)
    seconds = time.perf_counter() - began
    before = editor.look(asked.image, ())
    beside: list[ClassScore] = []
    second = bench.opened.beside
    if asked.beside and second:
        pair = [second.prepare(picture_of(editor.edited(asked.image, e))) for e in ((), asked.edits)]
        unedited, edited = logits_of(second, torch.stack(pair).to(second.mean), 2)
        beside = _scores(second, unedited, edited, ())
    return Look(
        scores=_scores(editor.classifier, before.logits, after.logits, asked.classes),
        beside=beside,
        picture=as_data_uri(png(editor.edited(asked.image, asked.edits)), "image/png") if asked.picture else None,
        milliseconds=1000 * seconds,
        whole_milliseconds=1000 * editor.whole_seconds,
        incremental=after.incremental,
    )


def _scores(classifier: Classifier, before: Tensor, after: Tensor, more: Sequence[int]) -> list[ClassScore]:
    old, new = (logits.double().softmax(0).cpu() for logits in (before, after))
    count = min(TOP, len(new))
    shown = {*new.topk(count).indices.tolist(), *old.topk(min(2, count)).indices.tolist(), *more}
    return [
        ClassScore(index=i, name=classifier.class_names[i], before=float(old[i]), after=float(new[i]))
        for i in sorted(shown, key=lambda i: -float(new[i]))
    ]


def _method(asked: ExplanationAsked) -> tuple[Method, dict[str, Any]]:
    if asked.method not in ATTRIBUTION:
        raise HTTPException(404, f"There is no attribution method {asked.method!r}.")
    method = find_method(asked.method, ATTRIBUTION)
    unknown = next((name for name in asked.settings if name not in settings_of(method)), None)
    if unknown is not None:
        raise HTTPException(422, f"{method.name} has no setting {unknown!r}.")
    if asked.against is not None and "against" not in method.parameters:
        raise HTTPException(422, f"The maps of {method.name} do not depend on the class, so they have no difference.")
    return method, parse_settings(method, [f"{name}={text}" for name, text in asked.settings.items() if text])


def _explain(
    classifier: Classifier, pixels: Tensor, method: Method, settings: dict[str, Any], asked: ExplanationAsked
) -> Explanation:
    began = time.perf_counter()
    target = asked.target
    if target is None:
        target = int(logits_of(classifier, pixels[None], 1).argmax())
    if target == asked.against:
        raise UsageError(f"{classifier.class_names[target]} is compared with itself; choose another class.")
    against = {} if asked.against is None else {"against": asked.against}
    found = method.function(classifier, pixels[None], target, **against, **settings).detach()
    if not torch.isfinite(found).all() or is_constant(found).all():
        raise ModelError(f"The map of {method.name} is the same everywhere; take another method, such as occlusion.")
    small = functional.adaptive_avg_pool2d(found.float(), (min(GRID, found.shape[-2]), min(GRID, found.shape[-1])))[0]
    names = classifier.class_names
    return Explanation(
        values=[[float(f"{value:.5g}") for value in line] for line in small.cpu().tolist()],
        method=method.name,
        target=names[target],
        against="" if asked.against is None else names[asked.against],
        seconds=time.perf_counter() - began,
    )


def _nearest(bench: Workbench, editor: Editor, described: Described, asked: NearestAsked) -> Nearest:
    recording = bench.recording
    own = int(editor.look(asked.image, asked.edits).logits.argmax())
    one = describe_pixels(editor.classifier, editor.edited(asked.image, asked.edits)[None])
    found = nearest_counterfactuals(described, one, recording.predicted, own, asked.to, NEAREST)
    paths = recording.subject.images.table["path"]

    def neighbors(near: Near) -> list[Neighbor]:
        return [
            Neighbor(
                row=row,
                path=str(paths.iloc[row]),
                prediction=int(recording.predicted[row]),
                name=editor.classifier.class_names[recording.predicted[row]],
                confidence=float(recording.probabilities[row].max()),
                distance=distance,
            )
            for row, distance in zip(near.rows.tolist(), near.distances.tolist(), strict=True)
        ]

    by_embedding, by_pixels = map(neighbors, found)
    return Nearest(ready=True, by_embedding=by_embedding, by_pixels=by_pixels)


def _curve(bench: Workbench, editor: Editor, asked: CurveAsked, lists: Sequence[Sequence[Edit]]) -> ResponseCurve:
    found = []
    for image in track(asked.images, "Following predictions"):
        with bench.lock:
            found.append(
                response_curve(
                    editor.classifier, editor.original(image), lists, asked.classes, around=editor.surroundings(image)
                )
            )
    each = np.stack(found)  # images x values x classes
    varying = lists[0][asked.place]
    return ResponseCurve(
        parameter=f"{varying.kind}: {asked.parameter}",
        values=[float(getattr(edits[asked.place], asked.parameter)) for edits in lists],
        classes=[
            _class_curve(index, editor.classifier.class_names[index], each[:, :, k])
            for k, index in enumerate(asked.classes)
        ],
        images=len(each),
    )


def _class_curve(index: int, name: str, shares: NDArray[np.float64]) -> CurveOfClass:
    intervals = [mean_share(shares[:, k]) for k in range(shares.shape[1])]
    return CurveOfClass(
        index=index,
        name=name,
        mean=[each.value for each in intervals],
        low=[each.low for each in intervals],
        high=[each.high for each in intervals],
        each=shares.round(6).tolist(),
    )
