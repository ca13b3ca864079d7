"""Modifications of images that change predictions.

Written by `make generate`.
"""

from deeptroubles.methods.attacks.bim import bim
from deeptroubles.methods.attacks.ddn import ddn
from deeptroubles.methods.attacks.deep_fool import deep_fool
from deeptroubles.methods.attacks.duplication_gain import duplication_gain
from deeptroubles.methods.attacks.fgsm import fgsm
from deeptroubles.methods.attacks.fooling_ascent import fooling_ascent
from deeptroubles.methods.attacks.hop_skip_jump import hop_skip_jump
from deeptroubles.methods.attacks.map_elites import map_elites
from deeptroubles.methods.attacks.masked_attack import masked_attack
from deeptroubles.methods.attacks.mi_fgsm import mi_fgsm
from deeptroubles.methods.attacks.occlusion_gain import occlusion_gain
from deeptroubles.methods.attacks.one_pixel import one_pixel
from deeptroubles.methods.attacks.one_pixel_evolution import one_pixel_evolution
from deeptroubles.methods.attacks.patch import patch
from deeptroubles.methods.attacks.pgd import pgd
from deeptroubles.methods.attacks.random_noise import random_noise
from deeptroubles.methods.attacks.spatial import spatial
from deeptroubles.methods.attacks.square import square
from deeptroubles.methods.attacks.target_matrix import target_matrix

__all__ = [
    "bim",
    "ddn",
    "deep_fool",
    "duplication_gain",
    "fgsm",
    "fooling_ascent",
    "hop_skip_jump",
    "map_elites",
    "masked_attack",
    "mi_fgsm",
    "occlusion_gain",
    "one_pixel",
    "one_pixel_evolution",
    "patch",
    "pgd",
    "random_noise",
    "spatial",
    "square",
    "target_matrix",
]
