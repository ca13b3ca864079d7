"""Similarity of two images up to a small shift or crop, and a change of brightness or contrast."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

_SMOOTHING = 1.0
_EDGE, _STEP = 2, 2
_RIDGE = 1e-4
_CONTRAST = 1.5
"""The largest ratio of contrasts of similar images."""
_AT_ONCE = 2048


def similarity(
    thumbnails: NDArray[np.floating], first: NDArray[np.integer], second: NDArray[np.integer]
) -> NDArray[np.float64]:
    """The correlation of pairs of thumbnails after the best small shift and change of width and height.

    To first order, a slightly shifted or stretched image is itself plus a combination of four images: its gradients
    along x and y, and these times x and y. So one thumbnail is regressed on the other and these four (least squares
    over all pixels and channels); the similarity is the multiple correlation, the smaller one of both directions. It is
    0 if the other would have to be inverted or changed in contrast by more than 1.5 times, and for a thumbnail
    of one color.

    Args:
        thumbnails: N x S x S x 3, in [0, 1]. They are smoothed by one pixel before gradients are computed.
        first: P indices of thumbnails.
        second: P, likewise.

    Returns:
        P, in [0, 1].

    References:
        P. Simard, Y. LeCun, J. Denker: Efficient pattern recognition using a new transformation distance, NIPS 1992
        (tangent vectors).
    """
    blocks = range(0, len(thumbnails), _AT_ONCE)  # intermediate arrays need much more memory than the result
    tangents = np.concatenate([_tangents(thumbnails[start : start + _AT_ONCE]) for start in blocks])
    gram = np.einsum("nip,njp->nij", tangents, tangents).astype(np.float64) + _RIDGE * np.eye(5)
    found = np.zeros(len(first))
    for start in range(0, len(first), _AT_ONCE):
        part = slice(start, start + _AT_ONCE)
        a, b = first[part], second[part]
        there, back = (_explained(tangents, gram, x, y) for x, y in ((a, b), (b, a)))
        found[part] = np.minimum(there, back)
    return found


def _tangents(thumbnails: NDArray[np.floating]) -> NDArray[np.float32]:
    """N x 5 x pixels: the image and its four changes, each with mean 0."""
    smooth = ndimage.gaussian_filter(thumbnails, (0, _SMOOTHING, _SMOOTHING, 0))
    along_y, along_x = np.gradient(smooth, axis=(1, 2))
    line = np.linspace(-1, 1, thumbnails.shape[1])
    changes = (smooth, along_x, along_y, line[None, :, None] * along_x, line[:, None, None] * along_y)
    inside = slice(_EDGE, -_EDGE, _STEP)
    stacked = np.stack(changes, axis=1)[:, :, inside, inside].reshape(len(smooth), 5, -1).astype(np.float32)
    return np.asarray(stacked - stacked.mean(2, keepdims=True))


def _explained(
    tangents: NDArray[np.float32], gram: NDArray[np.float64], by: NDArray[np.integer], what: NDArray[np.integer]
) -> NDArray[np.float64]:
    """The multiple correlation of images `what` with images `by` and their changes."""
    shared = np.einsum("nip,np->ni", tangents[by], tangents[what, 0]).astype(np.float64)
    weights = np.linalg.solve(gram[by], shared[:, :, None])[:, :, 0]
    explained = (weights * shared).sum(1) / gram[what, 0, 0]
    allowed = (weights[:, 0] > 1 / _CONTRAST) & (weights[:, 0] < _CONTRAST)
    return np.asarray(np.where(allowed, np.sqrt(np.clip(explained, 0, 1)), 0.0))
