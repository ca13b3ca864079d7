"""Which parts of an image a prediction depends on.

Written by `make generate`.
"""

from deeptroubles.methods.attribution.ablation_cam import ablation_cam
from deeptroubles.methods.attribution.cam import cam
from deeptroubles.methods.attribution.deconvnet import deconvnet
from deeptroubles.methods.attribution.deep_lift import deep_lift
from deeptroubles.methods.attribution.eigen_cam import eigen_cam
from deeptroubles.methods.attribution.full_grad import full_grad
from deeptroubles.methods.attribution.grad_cam import grad_cam
from deeptroubles.methods.attribution.grad_cam_plus_plus import grad_cam_plus_plus
from deeptroubles.methods.attribution.gradient_x_input import gradient_x_input
from deeptroubles.methods.attribution.guided_backprop import guided_backprop
from deeptroubles.methods.attribution.guided_grad_cam import guided_grad_cam
from deeptroubles.methods.attribution.hires_cam import hires_cam
from deeptroubles.methods.attribution.integrated_gradients import integrated_gradients
from deeptroubles.methods.attribution.layer_cam import layer_cam
from deeptroubles.methods.attribution.lrp import lrp
from deeptroubles.methods.attribution.occlusion import occlusion
from deeptroubles.methods.attribution.rise import rise
from deeptroubles.methods.attribution.saliency import saliency
from deeptroubles.methods.attribution.score_cam import score_cam
from deeptroubles.methods.attribution.smooth_grad import smooth_grad
from deeptroubles.methods.attribution.xgrad_cam import xgrad_cam

__all__ = [
    "ablation_cam",
    "cam",
    "deconvnet",
    "deep_lift",
    "eigen_cam",
    "full_grad",
    "grad_cam",
    "grad_cam_plus_plus",
    "gradient_x_input",
    "guided_backprop",
    "guided_grad_cam",
    "hires_cam",
    "integrated_gradients",
    "layer_cam",
    "lrp",
    "occlusion",
    "rise",
    "saliency",
    "score_cam",
    "smooth_grad",
    "xgrad_cam",
]
