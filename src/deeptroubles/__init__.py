"""Is my image classifier right for the right reasons?

import deeptroubles as dt

model = dt.load_classifier("efficientnet-lite0")
images = dt.load_images("photos/")
audit = dt.audit(model, images, out="runs/first")
"""

from deeptroubles.audit import audit
from deeptroubles.checks import check
from deeptroubles.classifier import Classifier
from deeptroubles.errors import DeeptroublesError
from deeptroubles.findings import Audit, Finding, Verdict
from deeptroubles.images import ImageSet, load_images
from deeptroubles.methods.attacks.occlusion_gain import occlusion_gain
from deeptroubles.methods.attribution.grad_cam import grad_cam
from deeptroubles.methods.attribution.occlusion import occlusion
from deeptroubles.methods.transforms.shift import shift
from deeptroubles.models import load_classifier
from deeptroubles.network import open_network
from deeptroubles.report import write_report
from deeptroubles.run_folder import read_audit

__all__ = [
    "Audit",
    "Classifier",
    "DeeptroublesError",
    "Finding",
    "ImageSet",
    "Verdict",
    "audit",
    "check",
    "grad_cam",
    "load_classifier",
    "load_images",
    "occlusion",
    "occlusion_gain",
    "open_network",
    "read_audit",
    "shift",
    "write_report",
]
