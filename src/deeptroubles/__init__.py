"""Is my image classifier right for the right reasons?

import deeptroubles as dt

model = dt.load_classifier("efficientnet-lite0")
images = dt.load_images("photos/")
audit = dt.audit(model, images, out="runs/first")
"""

from deeptroubles.checks import check
from deeptroubles.classifier import Classifier
from deeptroubles.errors import DeeptroublesError
from deeptroubles.findings import Audit, Finding, Verdict
from deeptroubles.images import ImageSet, load_images
from deeptroubles.methods.attacks.bim import bim
from deeptroubles.methods.attacks.ddn import ddn
from deeptroubles.methods.attacks.deep_fool import deep_fool
from deeptroubles.methods.attacks.duplication_gain import duplication_gain
from deeptroubles.methods.attacks.fgsm import fgsm
from deeptroubles.methods.attacks.fooling_ascent import fooling_ascent
from deeptroubles.methods.attacks.map_elites import map_elites
from deeptroubles.methods.attacks.mi_fgsm import mi_fgsm
from deeptroubles.methods.attacks.occlusion_gain import occlusion_gain
from deeptroubles.methods.attacks.one_pixel import one_pixel
from deeptroubles.methods.attacks.one_pixel_evolution import one_pixel_evolution
from deeptroubles.methods.attacks.pgd import pgd
from deeptroubles.methods.attacks.random_noise import random_noise
from deeptroubles.methods.attribution.ablation_cam import ablation_cam
from deeptroubles.methods.attribution.cam import cam
from deeptroubles.methods.attribution.deconvnet import deconvnet
from deeptroubles.methods.attribution.eigen_cam import eigen_cam
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
from deeptroubles.methods.fairness.by_group import by_group
from deeptroubles.methods.mitigation.last_layer import with_head
from deeptroubles.methods.transforms.amplitude_mix import amplitude_mix
from deeptroubles.methods.transforms.gatys import gatys
from deeptroubles.methods.transforms.shift import shift
from deeptroubles.methods.transforms.silhouette import silhouette
from deeptroubles.methods.units.activation_maximization import activation_maximization
from deeptroubles.methods.units.caricature import caricature
from deeptroubles.methods.units.deep_dream import deep_dream
from deeptroubles.methods.units.feature_maps import feature_maps
from deeptroubles.workflows.mitigate import mitigate
from deeptroubles.models import load_classifier
from deeptroubles.network import open_network
from deeptroubles.recording import Given
from deeptroubles.report import write_report
from deeptroubles.report.units import write_unit_pages
from deeptroubles.run.folder import read_audit
from deeptroubles.workflows.audit import audit
from deeptroubles.workflows.stylize import stylize_images
from deeptroubles.workflows.units import look_at_units
from deeptroubles.workflows.visualize import visualize_units

__all__ = [
    "Audit",
    "Classifier",
    "DeeptroublesError",
    "Finding",
    "Given",
    "ImageSet",
    "Verdict",
    "ablation_cam",
    "activation_maximization",
    "amplitude_mix",
    "audit",
    "bim",
    "by_group",
    "cam",
    "caricature",
    "check",
    "ddn",
    "deconvnet",
    "deep_dream",
    "deep_fool",
    "duplication_gain",
    "eigen_cam",
    "feature_maps",
    "fgsm",
    "fooling_ascent",
    "gatys",
    "grad_cam",
    "grad_cam_plus_plus",
    "gradient_x_input",
    "guided_backprop",
    "guided_grad_cam",
    "hires_cam",
    "integrated_gradients",
    "layer_cam",
    "load_classifier",
    "load_images",
    "look_at_units",
    "lrp",
    "map_elites",
    "mi_fgsm",
    "mitigate",
    "occlusion",
    "occlusion_gain",
    "one_pixel",
    "one_pixel_evolution",
    "open_network",
    "pgd",
    "random_noise",
    "read_audit",
    "rise",
    "saliency",
    "score_cam",
    "shift",
    "silhouette",
    "smooth_grad",
    "stylize_images",
    "visualize_units",
    "with_head",
    "write_report",
    "write_unit_pages",
    "xgrad_cam",
]
