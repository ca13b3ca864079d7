"""reliance.shortcut: does the prediction rely on something other than the object?"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from deeptroubles.checks.limits import MIN_IMAGES
from deeptroubles.checks.options import LABELS
from deeptroubles.checks.registry import check
from deeptroubles.checks.reliance.shortcut.channels import Channels, swap_channels
from deeptroubles.checks.reliance.shortcut.found_cues import keep_cues
from deeptroubles.checks.reliance.shortcut.search import LIMITS, Search, search
from deeptroubles.engine import Engine
from deeptroubles.findings import Finding, Verdict
from deeptroubles.recording import Recording
from deeptroubles.run.folder import RunFolder

PROBLEM = {Verdict.FAIL, Verdict.WARN}


@dataclass(frozen=True, kw_only=True)
class Shortcut:
    """What the search for patches and treatments found, and what swaps of channels found where objects are known.

    Attributes:
        searched: None with too few images.
        channels: The swaps; they measure nothing where objects are not known.
        labelled: The number of labelled images.
    """

    searched: Search | None
    channels: Channels
    labelled: int

    def findings(self) -> Iterable[Finding]:
        """A finding for each shortcut, or one that says what was looked for."""
        swapped = self.channels.finding()
        if self.searched is None and swapped is not None:
            yield swapped
        elif self.searched is None:
            yield Finding(
                check="reliance.shortcut",
                verdict=Verdict.INCONCLUSIVE,
                priority=1,
                claim=f"Inconclusive: needs two classes with {MIN_IMAGES} labelled images each, at least 16 pixels "
                f"large; there are {self.labelled} labelled images.",
                criterion=LIMITS.criterion,
            )
        elif swapped is not None and not self.searched.shortcuts:
            yield swapped
        else:
            yield from self.searched.findings()
            if swapped is not None and swapped.verdict in PROBLEM and not self._is_known(self.searched):
                yield swapped

    def keep(self, folder: RunFolder) -> None:
        """Write the cues that were found into a run folder."""
        if self.searched is not None:
            keep_cues(self.searched.cues, self.searched.recording.subject, folder)

    def _is_known(self, searched: Search) -> bool:
        """Whether a found shortcut explains the measured channel: same class, and a channel outside the object."""
        measured = self.channels.measured
        classes = {tested.class_name for group in searched.shortcuts for tested in group}
        return measured is None or (
            measured.class_name in classes and measured.name not in {"position", "inner texture"}
        )


@check("reliance.shortcut", needs=[LABELS])
def shortcut(recording: Recording, engine: Engine, *, seed: int) -> Shortcut:
    """Does the prediction rely on something other than the object?

    What it asks:
        First the images are searched, without the network, for what many images of one class share and others do not:
        patches that recur at one place (a watermark, a date stamp, a border) or at varying places (a logo), and traces
        of treatments of the whole image (compression, blur, a color cast). Each candidate is put into images of other
        classes, and patches are taken out of their own. How far does the prediction move, compared with controls that
        change the image as much? No cue has to be named.

        Where objects have masks, or stand out in most images, one channel of evidence at a time (the background, the
        frame, fine detail, color, the object's position, its inner texture) is also replaced by that of a donor image
        of another class, compared with a donor of the image's own class.

    Why it matters:
        A network that was trained to recognize horses learned the photographer's source tag. It is correct on images
        like those of its training, and wrong as soon as the tag is missing.

    How to read it:
        The movement is the mean of two effects: how much other images gain towards a class with its cue, and how much
        images of the class lose without it. The claim says what the cue is, where it is, and how many images carry it.
        The crops show what it looks like. A pass says on what part of a class a patch or blur would have been noticed,
        because copies of these images in which they were planted were searched too. `--cue run:FOLDER` tests cues that
        were found in another audit, on other images or with another network.

    Limits:
        On cluttered photographs without masks the scenery behind the object is not tested. A patch in the middle of the
        image, on known objects, or where objects of many classes recur, is taken for the object, so a cue there is
        missed. Weak compression, logos that vary in size or that change their place in a small class, and cues on less
        than about a quarter of a class are often missed. A cue that all classes share is not a shortcut and not found,
        and neither is one that is absent from these images.

    References:
        S. Lapuschkin et al., Unmasking Clever Hans predictors, Nature Communications 2019; R. Geirhos et al., Shortcut
        learning in deep neural networks, Nature Machine Intelligence 2020; J. Adebayo et al., Post hoc explanations may
        be ineffective for detecting unknown spurious correlation, ICLR 2022.
    """
    return Shortcut(
        searched=search(recording, engine, seed),
        channels=swap_channels(recording, engine, seed),
        labelled=len(recording.labelled),
    )
