"""Published detectors of shortcuts, as one score per model; higher means more suspicious."""

from __future__ import annotations

import numpy as np
import torch
from sklearn.model_selection import StratifiedKFold, cross_val_score
from sklearn.naive_bayes import GaussianNB
from torch import Tensor, nn

from deeptroubles.classifier import Classifier
from deeptroubles.methods.attribution.lrp import lrp
from deeptroubles.methods.clustering.spray import MIN_HEATMAPS, Clusters, cluster_heatmaps, small_heatmaps
from deeptroubles.methods.concepts.tcav import Read, concept_layer, concept_vectors, lead_std, read_layer, unit_scale
from deeptroubles.methods.properties.image_properties import image_properties
from deeptroubles.network import open_network, penultimate_features


def eigengap(classifier: Classifier, images: Tensor, targets: Tensor) -> float:
    """SpRAy: the largest eigengap over classes with more than one cluster of heatmaps; 0 without any."""
    return max((c.gap for c in _clusters(classifier, images, targets) if c.count > 1), default=0.0)


def fisher_tau(classifier: Classifier, images: Tensor, targets: Tensor) -> float:
    """SpRAy with the Fisher score: the largest separation of a cluster over classes."""
    return max((max(c.fisher) for c in _clusters(classifier, images, targets)), default=0.0)


def _clusters(classifier: Classifier, images: Tensor, targets: Tensor) -> list[Clusters]:
    parts = zip(torch.split(images, 64), torch.split(targets, 64), strict=True)
    small = small_heatmaps(torch.cat([lrp(classifier, *part) for part in parts]))
    groups = [small[(targets == target).cpu().numpy()] for target in torch.unique(targets)]
    return [cluster_heatmaps(group, 0) for group in groups if len(group) >= MIN_HEATMAPS]


def neural_pca(classifier: Classifier, images: Tensor, targets: Tensor) -> float:
    """Class-wise neural PCA: how much one component moves a class's logit, in standard deviations of that logit.

    Components are of the features of the class's images, weighted by the class's last weights (Neuhaus et al.: Spurious
    Features Everywhere, ICCV 2023, equations 2 to 4). There a person looks at the images; here the component with the
    largest standard deviation is the score.
    """
    network = open_network(classifier)
    with torch.no_grad():
        parts = [penultimate_features(network, part) for part in torch.split(images, 64)]
    features = torch.cat([part for part in parts if part is not None])
    weight = next(m.weight for m in reversed(list(classifier.module.modules())) if isinstance(m, nn.Linear)).detach()
    scores = []
    for k in torch.unique(targets).tolist():
        weighted = features[targets == k] * weight[k]
        directions = torch.linalg.svd(weighted - weighted.mean(0), full_matrices=False).Vh
        moved = (weighted - weighted.mean(0)) @ directions.T * directions.sum(1)
        scores.append(float(moved.std(0).max() / (features @ weight[k]).std()))
    return max(scores)


def tcav(classifier: Classifier, images: Tensor, targets: Tensor, concept: Tensor) -> float:
    """TCAV: the largest effect of a concept on any class, in standard deviations of the class's lead.

    The images of the concept (M x C x H x W) are compared with draws of N images of the classes `targets`.
    """
    layer = concept_layer(open_network(classifier))
    batches = zip(torch.split(images, 64), torch.split(targets, 64), strict=True)
    parts = [read_layer(classifier, *batch, layer) for batch in batches]
    read = Read(*(np.concatenate(column) for column in zip(*parts, strict=True)))
    shown = read_layer(classifier, concept, torch.zeros(len(concept), dtype=torch.long, device=concept.device), layer)
    scale = unit_scale(read.activations)
    vectors = concept_vectors(shown.activations / scale, read.activations / scale, seed=0)
    std = lead_std(classifier(images).detach().cpu().numpy())
    classes = targets.cpu().numpy()
    moves = (read.gradients * scale) @ (vectors.direction * vectors.distance[:, :, None]).mean((0, 1))
    return max(float(abs(moves[classes == k].mean()) / std[k]) for k in np.unique(classes))


def datalab(images: Tensor, targets: Tensor) -> float:
    """Datalab's check for spurious correlations (cleanlab, 2023) with a corrected baseline: 1 minus its score.

    The predictor is a Gaussian naive Bayes on one property, with five-fold cross-validation; its accuracy is rescaled
    from always predicting the most common class (0) to perfect (1). (Datalab uses the index of the most common class
    as its count, so noise looks predictive if classes are unequal.)
    """
    classes = targets.cpu().numpy()
    baseline = np.unique(classes, return_counts=True)[1].max() / len(classes)
    folds = StratifiedKFold(5, shuffle=True, random_state=0)
    pictures = (images * 255).round().byte().permute(0, 2, 3, 1).cpu().numpy()
    found = [image_properties(p if p.shape[2] == 3 else p[:, :, 0]) for p in pictures]
    values = np.concatenate([np.stack([each[name] for each in found]) for name in found[0]], axis=1)
    values = values[:, np.ptp(values, axis=0) > 0]
    accuracy = [cross_val_score(GaussianNB(), column[:, None], classes, cv=folds).mean() for column in values.T]
    return float((max(accuracy) - baseline) / (1 - baseline))
