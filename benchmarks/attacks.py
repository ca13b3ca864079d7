"""The cost of attacks, compared with foolbox, torchattacks and pyautoattack.

Same classifier, images, epsilon and steps, one process. Run `python benchmarks/attacks.py [--threads 1]`. With one
thread, ratios vary less on a busy machine, because threads that wait for each other count. The other libraries are
measured if they are installed (`pip install --no-deps foolbox torchattacks pyautoattack`, and their dependencies).
The classifier is a small network, trained in seconds on digits that are scaled to 32 x 32 pixels and randomly
colored. Times are minima over rounds; candidates alternate, so that load on the machine affects all of them. Ratios
are of CPU seconds over all threads, which depend little on other programs. `broken` counts images for which the
attack succeeds. Ours are evaluated on 8-bit images (those of AutoAttack, and FMN, in single precision like their
peers), theirs in single precision. PGD is faster because broken images leave the batch (the gain grows with epsilon)
and because of the memory layout, the one-pixel attack because only what a pixel changes is computed.
"""

from __future__ import annotations

import argparse
import importlib.util
import math
import platform
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.digits import digits
from tests.torchvision_shim import declare_operators

import deeptroubles as dt
from deeptroubles.methods.attacks.apgd import apgd
from deeptroubles.methods.attacks.apgd_t import apgd_t
from deeptroubles.methods.attacks.fab_t import fab_t
from deeptroubles.methods.attacks.fmn import fmn
from deeptroubles.methods.attacks.map_elites import ENCODINGS, map_elites
from deeptroubles.methods.attacks.one_pixel import corners, one_pixel, pixel_logits, set_pixels
from deeptroubles.methods.attacks.pgd import pgd
from deeptroubles.methods.attacks.shared.balls import lp_norm
from deeptroubles.methods.attacks.shared.result import AttackResult
from deeptroubles.network import open_network
from deeptroubles.network.incremental import LocalEdits
from deeptroubles.subject import logits_of

ROUNDS = 2
COUNT, STEPS = 64, 40
GENERATIONS = 20
EPSILONS = (8 / 255, 16 / 255, 32 / 255)
PIXELS = 8
"""The number of images for one-pixel attacks, those closest to a misclassification: theirs takes long for others."""
Candidate = Callable[[], tuple[Tensor, float]]
"""The images that an attack found, and the mean number of queries per image."""


def colored() -> tuple[Tensor, Tensor]:
    """Digits with random colors of ink and paper: N x 3 x 32 x 32, rounded to 8 bits, and labels."""
    images, labels = digits()
    ink, paper = torch.rand(2, len(images), 3, 1, 1, generator=torch.Generator().manual_seed(0))
    ink, paper = 0.6 + 0.4 * ink, 0.4 * paper
    large = nn.functional.interpolate(images, size=32, mode="bilinear")
    return ((paper + large * (ink - paper)) * 255).round() / 255, labels


def trained() -> dt.Classifier:
    """A network trained on the first 1,400 digits."""
    images, labels = (part[:1400] for part in colored())
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(3, 16, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(32, 64, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(64 * 16, 10),
    )
    optimizer = torch.optim.Adam(model.parameters(), 3e-3)
    for _ in range(4):
        for part in torch.randperm(len(images)).split(64):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(images[part]), labels[part]).backward()
            optimizer.step()
    model.zero_grad()
    return dt.Classifier(model, size=32, name="colored digits").eval()


def of_pgd(classifier: dt.Classifier, images: Tensor, labels: Tensor, epsilon: float) -> dict[str, Candidate]:
    """PGD under linf with the same steps and one restart."""

    def ours() -> tuple[Tensor, float]:
        found = pgd(classifier, images, labels, epsilon=epsilon, steps=STEPS, batch_size=len(images))
        return found.images, float(found.queries.float().mean())

    candidates: dict[str, Candidate] = {"deeptroubles": ours}
    step = max(2.5 * epsilon / STEPS, 1 / 255)
    if importlib.util.find_spec("foolbox"):
        import foolbox  # noqa: PLC0415

        peer, goal = foolbox.PyTorchModel(classifier, bounds=(0, 1)), foolbox.criteria.Misclassification(labels)
        attack = foolbox.attacks.LinfPGD(abs_stepsize=step, steps=STEPS)
        candidates["foolbox"] = lambda: (attack(peer, images, goal, epsilons=epsilon)[1], float(STEPS))
    if importlib.util.find_spec("torchattacks"):
        declare_operators()
        import torchattacks  # noqa: PLC0415

        other = torchattacks.PGD(classifier, eps=epsilon, alpha=step, steps=STEPS)
        candidates["torchattacks"] = lambda: (other(images, labels), float(STEPS))
    return candidates


def of_auto_attack(classifier: dt.Classifier, images: Tensor, labels: Tensor) -> dict[str, dict[str, Candidate]]:
    """The gradient attacks of AutoAttack, and FMN, with the settings and steps of their peers, in single precision."""

    def ours(attack: Callable[..., AttackResult], **settings: Any) -> Candidate:
        def run() -> tuple[Tensor, float]:
            found = attack(classifier, images, labels, eight_bit=False, **settings)
            return found.images, float(found.queries.float().mean())

        return run

    ball = {"epsilon": EPSILONS[0]}
    rows = {
        "APGD-CE": {"deeptroubles": ours(apgd, **ball)},
        "APGD-T": {"deeptroubles": ours(apgd_t, **ball)},
        "FAB-T": {"deeptroubles": ours(fab_t, **ball)},
        "FMN": {"deeptroubles": ours(fmn)},
    }
    if importlib.util.find_spec("pyautoattack"):
        from pyautoattack.autopgd_base import APGDAttack, APGDAttack_targeted  # noqa: PLC0415
        from pyautoattack.fab_pt import FABAttack_PT  # noqa: PLC0415

        settings = {"norm": "Linf", "eps": EPSILONS[0], "n_iter": 100, "device": "cpu"}
        peers = {
            "APGD-CE": APGDAttack(classifier, loss="ce", **settings),
            "APGD-T": APGDAttack_targeted(classifier, **settings),
            "FAB-T": FABAttack_PT(classifier, n_restarts=1, targeted=True, **settings),
        }
        for name, peer in peers.items():
            rows[name]["pyautoattack"] = lambda peer=peer: (peer.perturb(images, labels).detach(), math.nan)
    if importlib.util.find_spec("foolbox"):
        import foolbox  # noqa: PLC0415

        model, goal = foolbox.PyTorchModel(classifier, bounds=(0, 1)), foolbox.criteria.Misclassification(labels)
        attack = foolbox.attacks.LInfFMNAttack(steps=100)
        rows["FMN"]["foolbox"] = lambda: (attack(model, images, goal, epsilons=None)[1], 100.0)
    return rows


def of_one_pixel(classifier: dt.Classifier, images: Tensor, labels: Tensor, *, targeted: bool) -> dict[str, Candidate]:
    """One-pixel attacks; `labels` are the true classes, or the targets."""

    def ours() -> tuple[Tensor, float]:
        wanted = {"targets": labels} if targeted else {"labels": labels}
        found = one_pixel(classifier, images, **wanted)
        return found.images, float(found.queries.float().mean())

    candidates: dict[str, Candidate] = {"deeptroubles": ours}
    if not importlib.util.find_spec("torchattacks"):
        return candidates
    declare_operators()
    import torchattacks  # noqa: PLC0415

    def peer(population: int, steps: int) -> Candidate:
        attack = torchattacks.OnePixel(classifier, popsize=population, steps=steps)
        if targeted:
            attack.set_mode_targeted_by_label(quiet=True)

        def theirs() -> tuple[Tensor, float]:
            np.random.seed(0)  # noqa: NPY002 (torchattacks draws from the global generator)
            shown: list[int] = []
            counter = classifier.register_forward_pre_hook(lambda _, inputs: shown.append(len(inputs[0])))
            found = attack(images, labels)
            counter.remove()
            return found, sum(shown) / len(images)

        return theirs

    candidates["torchattacks (its defaults: 10 candidates, 10 steps)"] = peer(10, 10)
    if not targeted:  # minutes, and once is enough
        candidates["torchattacks (the paper's 400 candidates, 100 steps)"] = peer(400, 100)
    return candidates


def of_local(classifier: dt.Classifier, count: int) -> tuple[float, float, float]:
    """CPU seconds for `count` edits of one pixel, incrementally and whole, and the largest difference of logits."""
    generator = torch.Generator().manual_seed(0)
    height, width = classifier.size
    image = torch.rand(classifier.channels, height, width, generator=generator)
    rows, columns = (torch.randint(0, side, (count,), generator=generator) for side in (height, width))
    colors = corners(classifier.channels)[torch.arange(count) % 8]

    def locally() -> Tensor:  # including the cost per image
        return pixel_logits(LocalEdits(open_network(classifier), image[None]), rows, columns, colors, count)

    def whole() -> Tensor:
        return logits_of(classifier, set_pixels(image, rows, columns, colors), min(count, 32))

    results = measured({"local": lambda: (locally(), 1.0), "whole": lambda: (whole(), 1.0)}, ROUNDS + 1)
    local, dense = results["local"], results["whole"]
    return local.cpu, dense.cpu, float((local.images - dense.images).abs().max())


def locally(classifier: dt.Classifier) -> None:
    """Print the speedup of incremental computation for edits of one pixel."""
    networks = {"this network": (classifier, 256)}
    if importlib.util.find_spec("torchvision"):
        declare_operators()
        import torchvision  # noqa: PLC0415

        for name in ("resnet18", "vgg16"):
            model = getattr(torchvision.models, name)(weights=None).eval()
            networks[name] = (dt.Classifier(model, size=224), 64)
    print("\n| edits of one pixel | size | edits | local, CPU s | whole, CPU s | times faster | difference |")
    print("|---|---:|---:|---:|---:|---:|---:|")
    for name, (network, count) in networks.items():
        local, whole, difference = of_local(network, count)
        print(
            f"| {name} | {network.size[0]} | {count} | {local:.3f} | {whole:.3f} | {whole / local:.1f} | "
            f"{difference:.0e} |",
            flush=True,
        )


@dataclass(frozen=True)
class Measured:
    """The time of a candidate in its fastest round, and its result."""

    seconds: float
    cpu: float
    images: Tensor
    shown: float


def measured(candidates: dict[str, Candidate], rounds: int) -> dict[str, Measured]:
    """Run the candidates alternately."""
    found: dict[str, Measured] = {}
    for _ in range(rounds):
        for name, run in candidates.items():
            started, worked = time.perf_counter(), time.process_time()
            images, shown = run()
            once = Measured(time.perf_counter() - started, time.process_time() - worked, images, shown)
            found[name] = min(found.get(name, once), once, key=lambda m: m.cpu)
    return found


def table(title: str, results: dict[str, Measured], success: Callable[[Tensor], Tensor]) -> None:
    """Print the rows of one setting."""
    first = next(iter(results.values()))
    for name, one in results.items():
        count, ratio = len(one.images), one.cpu / first.cpu
        broken = f"{int(success(one.images).sum())}/{count}"
        print(
            f"| {title} | {name} | {one.seconds:.2f} | {one.cpu:.2f} | {ratio:.1f} | "
            f"{count / one.seconds:.1f} | {one.shown:.0f} | {broken} |",
            flush=True,
        )


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--threads", type=int, default=2)
    torch.set_num_threads(parser.parse_args().threads)
    classifier = trained()
    images, labels = (part[1400 : 1400 + COUNT] for part in colored())
    accuracy = float((logits_of(classifier, images).argmax(1) == labels).float().mean())
    print(
        f"{platform.machine()}, {torch.get_num_threads()} threads, torch {torch.__version__}, "
        f"{COUNT} images of 32 x 32, accuracy {accuracy:.0%}, minimum of {ROUNDS} rounds\n"
    )
    print("| attack | candidate | seconds | CPU seconds | x ours | images/s | queries per image | broken |")
    print("|---|---|---:|---:|---:|---:|---:|---:|")

    pgd(classifier, images[:2], labels[:2])  # the network is traced once, before the timing
    for epsilon in EPSILONS:
        results = measured(of_pgd(classifier, images, labels, epsilon), ROUNDS)
        table(
            f"PGD, linf {255 * epsilon:.0f}/255, {STEPS} steps",
            results,
            lambda x: logits_of(classifier, x).argmax(1) != labels,
        )

    for name, candidates in of_auto_attack(classifier, images, labels).items():
        within = math.inf if name == "FMN" else EPSILONS[0] + 1e-6

        def broken(x: Tensor, within: float = within) -> Tensor:
            return (logits_of(classifier, x).argmax(1) != labels) & (lp_norm(x - images, "linf") <= within)

        results = measured(candidates, 1)
        table(f"{name}, 100 steps", results, broken)
        if name == "FMN":
            for candidate, one in results.items():
                print(f"FMN of {candidate}: mean distance {255 * lp_norm(one.images - images, 'linf').mean():.3f}/255")

    logits = logits_of(classifier, images)
    lead = logits.gather(1, labels[:, None])[:, 0] - logits.scatter(1, labels[:, None], -torch.inf).amax(1)
    nearest = torch.where(lead > 0, lead, torch.inf).argsort()[:PIXELS]
    few, true = images[nearest], labels[nearest]
    results = measured(of_one_pixel(classifier, few, true, targeted=False), 1)
    table("one pixel", results, lambda x: logits_of(classifier, x).argmax(1) != true)
    second = logits_of(classifier, few).scatter(1, true[:, None], -torch.inf).argmax(1)
    results = measured(of_one_pixel(classifier, few, second, targeted=True), 1)
    table("one pixel, into the second class", results, lambda x: logits_of(classifier, x).argmax(1) == second)

    locally(classifier)

    for encoding in ENCODINGS:
        started = time.perf_counter()
        fooling = map_elites(classifier, encoding=encoding, generations=GENERATIONS)
        seconds, confidence = time.perf_counter() - started, fooling.confidence.median()
        print(
            f"\nFooling images, {encoding}: {fooling.queries} queries in {seconds:.1f} s "
            f"({fooling.queries / seconds:.0f} per second, {fooling.queries // classifier.classes} per class), "
            f"median confidence {confidence:.1%}."
        )


if __name__ == "__main__":
    main()
