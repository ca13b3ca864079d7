"""What a server looks at: a model, its images and a run folder, opened once and shared by all pages."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deeptroubles.checks.options import read_options
from deeptroubles.classifier import Classifier
from deeptroubles.engine import Engine, LocalEngine, code_fingerprint
from deeptroubles.errors import DeeptroublesError, RunFolderError
from deeptroubles.findings import Audit
from deeptroubles.images import ImageSet
from deeptroubles.memory import return_freed_memory
from deeptroubles.network import Network, open_network
from deeptroubles.recording import Recording, record
from deeptroubles.run.folder import read_audit
from deeptroubles.run.lock import locked
from deeptroubles.run.origin import is_run
from deeptroubles.run.pixels import keeping_pixels
from deeptroubles.run.unit_store import UnitStore
from deeptroubles.workflows.audit import open_run

BATCH_SIZE = 32


class NotComputableError(DeeptroublesError):
    """Something must be computed, and the server has no model."""


@dataclass(frozen=True)
class Opened:
    """A model with its images.

    Attributes:
        classifier: The model.
        images: The images.
        beside: A second model, to compare with.
    """

    classifier: Classifier
    images: ImageSet
    beside: Classifier | None = None


class Workbench:
    """A run folder, and the model and images that belong to it where they were given.

    Args:
        path: The run folder; made when it does not exist and a model is given.
        opened: The model and its images. None: only what the folder holds can be looked at.
        seed: Seed of everything random.
    """

    def __init__(self, path: Path, opened: Opened | None = None, seed: int = 0) -> None:
        self.path, self.seed = path, seed
        self._opened = opened
        self._stack = ExitStack()
        self._recording: Recording | None = None
        self.lock = threading.RLock()
        """Held while the model computes: it is shared by all who ask."""
        if opened:
            self._folder = open_run(path, opened.classifier, opened.images, seed)
        elif not is_run(path):
            raise RunFolderError(f"{path} is not a run of deeptroubles.")

    @property
    def opened(self) -> Opened:
        """The model and its images.

        Raises:
            NotComputableError: There is no model.
        """
        if self._opened is None:
            raise NotComputableError(
                "This page shows what the run folder holds. To compute more, start it with the model and its images: "
                f"deeptroubles serve MODEL --images IMAGES --out {self.path}"
            )
        return self._opened

    @property
    def can_compute(self) -> bool:
        """Whether there is a model."""
        return self._opened is not None

    @property
    def classifier(self) -> Classifier:
        """The model. Raises NotComputableError where there is none."""
        return self._recording.subject.classifier if self._recording else self.opened.classifier

    @property
    def network(self) -> Network:
        """The model's graph or hooks. Raises NotComputableError where there is no model."""
        with self.lock:  # while a model is traced nobody else may run it
            return open_network(self.classifier)

    @cached_property
    def model_id(self) -> str:
        """The start of the model's fingerprint, which is in every address about it."""
        with self.lock:
            return self.opened.classifier.fingerprint()[:8]

    @cached_property
    def engine(self) -> Engine:
        """What does work on many images, and keeps it in the run folder."""
        _ = self.opened
        return LocalEngine(self._folder, BATCH_SIZE)

    @property
    def recording(self) -> Recording:
        """What the model predicts for each image, computed when it is first asked for.

        Raises:
            NotComputableError: There is no model.
            ImagesError, ModelError: As `record` does.
        """
        if self._recording:  # those who only read need not wait for a job that computes
            return self._recording
        with self.lock:
            if self._recording is None:
                opened = self.opened
                pixels = self._stack.enter_context(keeping_pixels(self._folder))
                options = read_options({}, [], opened.classifier, opened.images)
                self._recording = record(opened.classifier, opened.images, self.engine, options, pixels)
            return self._recording

    @property
    def is_recorded(self) -> bool:
        """Whether the recording is there already."""
        return self._recording is not None

    @property
    def store(self) -> UnitStore:
        """What the folder holds about units; with the model, more can be kept."""
        subject = f"{code_fingerprint()} {self.recording.subject.fingerprint}" if self._recording else ""
        return UnitStore(self.path, subject)

    def audit(self) -> Audit | None:
        """The audit in the folder, if there is one."""
        try:
            return read_audit(self.path)
        except RunFolderError:
            return None

    def pixels(self, row: int) -> NDArray[np.uint8]:
        """A readable image as the model takes it, H x W x C. `row` is its place in the recording."""
        pixels: Any = self.recording.subject.pixels([row])[0]
        return np.asarray((pixels.cpu() * 255).round().byte().permute(1, 2, 0).numpy())

    @contextmanager
    def computing(self) -> Iterator[None]:
        """Hold the model and the folder while something is computed and kept."""
        with self.lock, locked(self.path):
            try:
                yield
            finally:
                return_freed_memory()

    def close(self) -> None:
        """Give back what was opened."""
        self._stack.close()
