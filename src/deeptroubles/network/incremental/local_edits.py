"""The logits of many local edits of one image: occluding windows, pasted patches, changed pixels.

An edit changes a rectangle of the pixels, hence a growing rectangle of each feature map. The activations of the
unedited image are kept, and only the rectangles are recomputed, many edits at a time, up to the step (the cut) from
which whole feature maps are faster. The cut is measured once. (Nakandala, Kumar, Papakonstantinou: Incremental and
Approximate Inference for Faster Occlusion-based Deep CNN Explanations, SIGMOD 2019; here for any traced network, and
exact.)
"""

from __future__ import annotations

import warnings
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from deeptroubles.classifier import Classifier, evaluating
from deeptroubles.network.incremental.program import Program
from deeptroubles.network.incremental.rectangles import CleanMap, EditedMap, Rectangle, Region, Span
from deeptroubles.network.incremental.running import Runner, fastest_cut, first_mostly_changed, order_by_size
from deeptroubles.network.opening import Network
from deeptroubles.network.snapshot import version
from deeptroubles.network.traced import TracedNetwork
from deeptroubles.subject import logits_of

MIN_EDITS = 8
"""With fewer edits, whole images are faster."""
_CHECKED = 3
"""Up to this many edits are compared with the whole network."""
_SAMPLE = 8
"""The cut is measured on this many edits."""


class LocalEdits:
    """One image, and the logits of local edits of it.

    The logits equal those of the whole network. Some are compared with it in every call. If they differ, or if the
    network cannot be computed incrementally, the whole network is used, with a warning.
    """

    def __init__(self, network: Network, image: Tensor) -> None:
        """Keep the image (1 x C x H x W, in [0, 1])."""
        self.classifier: Classifier = network.classifier
        self.image = image
        self._network = network if isinstance(network, TracedNetwork) else None
        self._runner: Runner | None = None
        self._compared = False

    @property
    def is_incremental(self) -> bool:
        """Whether less than the whole network is computed; otherwise it cannot be traced, or results differed."""
        return self._network is not None

    def logits(self, boxes: Tensor, content: float | Tensor, batch_size: int = 32, cut: int | None = None) -> Tensor:
        """The logits of the image with each edit applied alone, M x K.

        Args:
            boxes: M x 4: top, left, bottom, right, bottom and right exclusive.
            content: Patches (M x C x h x w, cropped where a box is smaller), or a color or an image that fills the
                boxes (anything that broadcasts to C x H x W).
            batch_size: How many edited images are computed at once.
            cut: The first step that computes whole feature maps. Default: measured.
        """
        boxes = boxes.cpu().long()
        content = torch.as_tensor(content, device=self.image.device, dtype=self.image.dtype)
        if self._network is None or (len(boxes) < MIN_EDITS and cut is None):
            return self._dense(boxes, content, batch_size)
        return self._tried(boxes, content, batch_size, cut)

    def one(self, box: Tensor, content: float | Tensor) -> Tensor:
        """The logits of one edit (box: 4), for edits that are repeated with changes, such as a brush stroke: K.

        The first result is compared with the whole network.
        """
        boxes = box.cpu().long()[None]
        content = torch.as_tensor(content, device=self.image.device, dtype=self.image.dtype)
        if self._network is None:
            return self._dense(boxes, content, 1)[0]
        compare, self._compared = not self._compared, True
        return self._tried(boxes, content, 1, None, compare=compare)[0]

    def _tried(
        self, boxes: Tensor, content: Tensor, batch_size: int, cut: int | None, *, compare: bool = True
    ) -> Tensor:
        """Incremental logits; those of the whole network, from now on, where that fails or they differ."""
        with torch.inference_mode(), evaluating(self.classifier):
            try:
                found = self._incremental(boxes, content, batch_size, cut)
                problem = self._mismatch(found, boxes, content) if compare else ""
            except (RuntimeError, TypeError, ValueError, IndexError, KeyError) as error:
                problem = (str(error).strip().splitlines() or [type(error).__name__])[0][:160]
            if not problem:
                return found
        warnings.warn(
            f"{self.classifier.name} cannot be computed incrementally ({problem}); whole images are computed instead, "
            "which is slower.",
            stacklevel=2,
        )
        self._network = None
        return self._dense(boxes, content, batch_size)

    def edited(self, boxes: Tensor, content: Tensor) -> Tensor:
        """The edited images, M x C x H x W."""
        start = self._edited_pixels(boxes, content, CleanMap(self.image))
        return start.full().contiguous()

    def _dense(self, boxes: Tensor, content: Tensor, batch_size: int) -> Tensor:
        pieces = torch.split(torch.arange(len(boxes)), batch_size)
        return torch.cat(
            [logits_of(self.classifier, self.edited(boxes[i], _select(content, i)), batch_size) for i in pieces]
        )

    def _incremental(self, boxes: Tensor, content: Tensor, batch_size: int, cut: int | None) -> Tensor:
        if self._network is None:
            raise ValueError("the network is not traced")
        prepared = _prepared(self._network)
        if self._runner is None or self._runner.program is not prepared.program:
            self._runner = Runner(prepared.program, self.image)
        if cut is None:
            cut = self._cut(prepared, boxes, content, batch_size)
        order = order_by_size(prepared.program, self._bounding_rectangle(boxes), cut)
        found: Tensor | None = None
        for i in torch.split(order, batch_size):
            logits = self._runner.run(self._edited_pixels(boxes[i], _select(content, i), self._runner.pixels), cut)
            found = logits.new_empty(len(boxes), *logits.shape[1:]) if found is None else found
            found[i] = logits
        if found is None:
            raise ValueError("there are no edits")
        return found

    def _cut(self, prepared: _Prepared, boxes: Tensor, content: Tensor, batch_size: int) -> int:
        """The first step that computes whole feature maps: measured, now or before, or by a rule of thumb.

        The rule is used for few edits, where measuring takes too long, and for single pixels, where it was at least as
        good as measuring and makes results reproducible to the byte.
        """
        if self._runner is None:
            return 0
        size = (boxes[:, 2:] - boxes[:, :2]).amax(0).tolist()
        key = (size[0], size[1], batch_size)
        if size == [1, 1]:
            return first_mostly_changed(prepared.program, self._bounding_rectangle(boxes))
        if key not in prepared.cuts:
            some = torch.linspace(0, len(boxes) - 1, min(_SAMPLE, len(boxes))).round().long()
            if len(boxes) < 4 * _SAMPLE:
                return first_mostly_changed(prepared.program, self._bounding_rectangle(boxes))
            start = self._edited_pixels(boxes[some], _select(content, some), self._runner.pixels)
            prepared.cuts[key] = fastest_cut(self._runner, start)
        return prepared.cuts[key]

    def _bounding_rectangle(self, boxes: Tensor) -> Rectangle:
        """The smallest rectangles of a common size that contain the boxes."""
        low, high = boxes[:, :2].numpy(), boxes[:, 2:].numpy()
        height, width = self.image.shape[-2:]
        return Span.fit(low[:, 0], high[:, 0], height), Span.fit(low[:, 1], high[:, 1], width)

    def _edited_pixels(self, boxes: Tensor, content: Tensor, clean: CleanMap) -> EditedMap:
        """The edited pixels."""
        rows, columns = self._bounding_rectangle(boxes)
        nothing = EditedMap(self.image.new_empty(0, clean.channels, rows.size, columns.size), (rows, columns), clean)
        regions = Region.of(rows), Region.of(columns)
        before = nothing.around(*regions)
        y, x = (torch.from_numpy(region.positions()) for region in regions)
        inside_y = (y >= boxes[:, :1]) & (y < boxes[:, 2:3])
        inside_x = (x >= boxes[:, 1:2]) & (x < boxes[:, 3:])
        inside = (inside_y[:, None, :, None] & inside_x[:, None, None, :]).to(before.device)
        if content.ndim == 4:
            v, u = (y - boxes[:, :1]).clamp(0, content.shape[2] - 1), (x - boxes[:, 1:2]).clamp(0, content.shape[3] - 1)
            edit = torch.arange(len(boxes))[:, None, None]
            new = content.permute(0, 2, 3, 1)[edit, v[:, :, None], u[:, None, :]].permute(0, 3, 1, 2)
        else:
            cover = CleanMap(content.expand(self.image.shape[1:])[None])
            new = (
                EditedMap(nothing.values, (rows, columns), cover).around(*regions)
                if content.numel() > clean.channels
                else content
            )
        values = torch.where(inside, new, before).contiguous(memory_format=torch.channels_last)
        return EditedMap(values, (rows, columns), clean)

    def _mismatch(self, found: Tensor, boxes: Tensor, content: Tensor) -> str:
        """A problem with the logits, or an empty text: some are compared with those of the whole network."""
        count = min(_CHECKED, max(1, len(boxes) // 16))
        some = torch.linspace(0, len(boxes) - 1, count).round().long() if count > 1 else torch.tensor([len(boxes) // 2])
        dense = self._dense(boxes[some], _select(content, some), count)
        spread = float(found.std(0).max()) if len(found) > 1 else 0.0
        allowed = 1e-3 * spread + 1e-5 * float(dense.abs().max())
        difference = float((found[some] - dense).abs().max())
        return "" if difference <= allowed else f"its logits would differ by {difference:.2g}"


class _Prepared:
    """The steps of a network and its measured cuts, valid while its weights stay the same."""

    def __init__(self, network: TracedNetwork, versions: tuple[tuple[int, int], ...]) -> None:
        self.versions = versions
        with torch.inference_mode(mode=False), torch.no_grad():
            self.program = Program(network)
        self.cuts: dict[tuple[int, int, int], int] = {}


_PREPARED: WeakKeyDictionary[TracedNetwork, _Prepared] = WeakKeyDictionary()


def _prepared(network: TracedNetwork) -> _Prepared:
    weights = (*network.classifier.parameters(), *network.classifier.buffers())
    versions = tuple((w.data_ptr(), version(w)) for w in weights)
    known = _PREPARED.get(network)
    if known is None or known.versions != versions:
        known = _PREPARED[network] = _Prepared(network, versions)
    return known


def _select(content: Tensor, index: Tensor) -> Tensor:
    return content[index.to(content.device)] if content.ndim == 4 else content
