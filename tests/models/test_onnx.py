"""ONNX models give the logits of the network that they were made of."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tests.served import opened

from deeptroubles import audit, grad_cam, load_classifier, occlusion
from deeptroubles.errors import ModelError

onnx = pytest.importorskip("onnx", reason="onnx is an optional dependency")
pytest.importorskip("onnx2torch", reason="onnx2torch is an optional dependency")


def saved(path, batch="N"):
    """A small network as a file: convolution, ReLU, average pooling, linear layer; and its weights."""
    random = np.random.default_rng(0)
    weights = {
        "w": random.normal(size=(6, 3, 3, 3)).astype(np.float32),
        "v": random.normal(size=(6, 4)).astype(np.float32),
        "b": random.normal(size=4).astype(np.float32),
    }
    node, value = onnx.helper.make_node, onnx.helper.make_tensor_value_info
    graph = onnx.helper.make_graph(
        [
            node("Conv", ["x", "w"], ["c"], pads=[1, 1, 1, 1]),
            node("Relu", ["c"], ["r"]),
            node("GlobalAveragePool", ["r"], ["p"]),
            node("Flatten", ["p"], ["f"]),
            node("Gemm", ["f", "v", "b"], ["y"]),
        ],
        "small",
        [value("x", onnx.TensorProto.FLOAT, [batch, 3, 32, 32])],
        [value("y", onnx.TensorProto.FLOAT, [batch, 4])],
        [onnx.numpy_helper.from_array(array, name) for name, array in weights.items()],
    )
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, str(path))
    return {name: torch.from_numpy(array) for name, array in weights.items()}


def test_logits_are_those_of_the_graph_and_methods_work(tmp_path):
    weights = saved(tmp_path / "a.onnx")
    what = opened(24)
    classifier = load_classifier(str(tmp_path / "a.onnx"), class_names=list(what.classifier.class_names))
    assert (classifier.size, classifier.channels) == ((32, 32), 3)
    pixels = torch.stack([classifier.prepare(what.images[i]) for i in range(5)])
    maps = torch.conv2d(pixels, weights["w"], padding=1).relu().mean((2, 3))
    torch.testing.assert_close(classifier(pixels).detach(), maps @ weights["v"] + weights["b"], rtol=1e-4, atol=1e-5)
    assert grad_cam(classifier, pixels, 1).shape == (5, 32, 32)
    assert occlusion(classifier, pixels[:1], 1).shape[0] == 1
    found = audit(classifier, what.images, checks=["performance.accuracy", "units.dead", "adversarial.untargeted"])
    assert not [finding for finding in found.findings if finding.verdict == "error"]


def test_what_is_no_model_is_told(tmp_path):
    (tmp_path / "a.onnx").write_bytes(b"nothing")
    with pytest.raises(ModelError, match="cannot be read as an ONNX model"):
        load_classifier(str(tmp_path / "a.onnx"))
    with pytest.raises(ModelError, match="no file"):
        load_classifier(str(tmp_path / "b.onnx"))
