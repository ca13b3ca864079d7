"""Modifications of images, as checks use them.

Written by `make generate`.
"""

from deeptroubles.methods.transforms.amplitude_mix import amplitude_mix
from deeptroubles.methods.transforms.bilateral_blur import bilateral_blur
from deeptroubles.methods.transforms.blur_pool import blur_pool
from deeptroubles.methods.transforms.corrupt import corrupt
from deeptroubles.methods.transforms.gatys import gatys
from deeptroubles.methods.transforms.gaussian_blur import gaussian_blur
from deeptroubles.methods.transforms.inpaint import inpaint
from deeptroubles.methods.transforms.non_local_means import non_local_means
from deeptroubles.methods.transforms.rotate import rotate
from deeptroubles.methods.transforms.rotate_patches import rotate_patches
from deeptroubles.methods.transforms.scale import scale
from deeptroubles.methods.transforms.shift import shift
from deeptroubles.methods.transforms.shuffle_patches import shuffle_patches
from deeptroubles.methods.transforms.silhouette import silhouette
from deeptroubles.methods.transforms.swap import swap
from deeptroubles.methods.transforms.watermark import watermark

__all__ = [
    "amplitude_mix",
    "bilateral_blur",
    "blur_pool",
    "corrupt",
    "gatys",
    "gaussian_blur",
    "inpaint",
    "non_local_means",
    "rotate",
    "rotate_patches",
    "scale",
    "shift",
    "shuffle_patches",
    "silhouette",
    "swap",
    "watermark",
]
