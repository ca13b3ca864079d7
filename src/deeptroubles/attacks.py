"""Modifications of images that change predictions.

Written by `make generate`.
"""

from deeptroubles.methods.attacks.apgd import apgd
from deeptroubles.methods.attacks.apgd_t import apgd_t
from deeptroubles.methods.attacks.auto_attack import auto_attack
from deeptroubles.methods.attacks.bim import bim
from deeptroubles.methods.attacks.carlini_wagner import carlini_wagner
from deeptroubles.methods.attacks.ddn import ddn
from deeptroubles.methods.attacks.deep_fool import deep_fool
from deeptroubles.methods.attacks.duplication_gain import duplication_gain
from deeptroubles.methods.attacks.fab_t import fab_t
from deeptroubles.methods.attacks.fgsm import fgsm
from deeptroubles.methods.attacks.fmn import fmn
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
    "apgd",
    "apgd_t",
    "auto_attack",
    "bim",
    "carlini_wagner",
    "ddn",
    "deep_fool",
    "duplication_gain",
    "fab_t",
    "fgsm",
    "fmn",
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
