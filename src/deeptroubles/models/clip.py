"""CLIP models of the Hugging Face hub, or of a local folder in its layout: a zero-shot classifier and a text tower.

A CLIP model puts images and texts into one space. With texts that name classes it classifies: the logit of a class is
the cosine between image and text, times the model's own scale. Nothing that comes with the model runs.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from deeptroubles.classifier import Classifier
from deeptroubles.errors import ModelError
from deeptroubles.models.huggingface import build_with_processor
from deeptroubles.models.shared.extras import import_extra
from deeptroubles.models.shared.overrides import Overrides
from deeptroubles.models.shared.source import Source
from deeptroubles.models.shared.wording import quoted

_BATCH = 256


class ZeroShot(nn.Module):
    """The image tower, with one fixed text per class.

    Args:
        model: A `transformers.CLIPModel`.
        texts: K x D, the embeddings of the texts, of length 1.
    """

    texts: Tensor
    scale: Tensor

    def __init__(self, model: Any, texts: Tensor) -> None:
        super().__init__()
        self.vision_model = model.vision_model
        self.visual_projection = model.visual_projection
        self.register_buffer("texts", texts)
        self.register_buffer("scale", model.logit_scale.detach().exp())

    def forward(self, inputs: Tensor) -> Tensor:
        """Map normalized pixels (N x C x H x W) to logits (N x K)."""
        embedding = self.visual_projection(self.vision_model(pixel_values=inputs).pooler_output)
        return self.scale * functional.normalize(embedding, dim=1) @ self.texts.T


class ClipText:
    """The text tower of a CLIP model; see `deeptroubles.methods.units.shared.texts.TextTower`."""

    layer = "visual_projection"

    def __init__(self, model: Any, tokenizer: Any) -> None:
        self._model, self._tokenizer = model.eval(), tokenizer
        self._longest = model.config.text_config.max_position_embeddings
        frame = tokenizer("")["input_ids"]
        if len(frame) != 2:
            raise ModelError("The model's tokenizer does not put one token before a text and one after it, as CLIP's.")
        self._start, self._end = frame

    @property
    def vectors(self) -> Tensor:
        """One vector per token, V x E."""
        weight: Tensor = self._model.text_model.embeddings.token_embedding.weight
        return weight.detach()

    @cached_property
    def vocabulary(self) -> Tensor:
        """The tokens that are read as themselves when they are written out: whole words, mostly. Ascending."""
        special = set(self._tokenizer.all_special_ids)
        ordinary = [token for token in range(len(self.vectors)) if token not in special]
        texts = [self.text([token]) for token in ordinary]
        read = self._tokenizer(texts, add_special_tokens=False)["input_ids"]
        kept = [token for token, text, again in zip(ordinary, texts, read, strict=True) if text and again == [token]]
        return torch.tensor(kept, dtype=torch.long)

    def tokens(self, text: str) -> list[int]:
        """A text as tokens, without those before and after it."""
        return list(self._tokenizer(text, add_special_tokens=False)["input_ids"])

    def text(self, tokens: Sequence[int]) -> str:
        """Tokens as a text."""
        return str(self._tokenizer.decode(list(tokens), skip_special_tokens=True)).strip()

    def embed(self, texts: Sequence[str]) -> Tensor:
        """Texts in the space of images and texts, T x D, of length 1. What is too long for the model is cut off."""
        parts = [texts[i : i + _BATCH] for i in range(0, len(texts), _BATCH)]
        return torch.cat([self._embed(list(part)) for part in parts])

    def embed_vectors(self, vectors: Tensor) -> Tensor:
        """The same for tokens that need not exist: N x L x E to N x D, differentiable."""
        count, length, _ = vectors.shape
        tokens = torch.full((count, length + 2), self._start, device=vectors.device)
        tokens[:, -1] = self._end

        def substitute(_module: nn.Module, _inputs: Any, output: Tensor) -> Tensor:
            return torch.cat([output[:, :1], vectors, output[:, -1:]], dim=1)

        handle = self._model.text_model.embeddings.token_embedding.register_forward_hook(substitute)
        try:
            return self._project(input_ids=tokens)
        finally:
            handle.remove()

    @torch.no_grad()
    def _embed(self, texts: list[str]) -> Tensor:
        read = self._tokenizer(texts, padding=True, truncation=True, max_length=self._longest, return_tensors="pt")
        device = self.vectors.device
        return self._project(input_ids=read["input_ids"].to(device), attention_mask=read["attention_mask"].to(device))

    def _project(self, **read: Tensor) -> Tensor:
        pooled = self._model.text_model(**read).pooler_output
        return functional.normalize(self._model.text_projection(pooled), dim=1)


def load(name: str, overrides: Overrides) -> Classifier:
    """Load the image tower, with the class names as its texts."""
    transformers = import_extra("transformers", "huggingface")
    names = overrides.get("class_names")
    if not names:
        raise ModelError(
            f"{name} compares images with any texts, so it has no classes of its own; name them, for instance "
            '"a photo of a cat", with class_names=[...] (on the command line: --classes FILE).'
        )
    model, tokenizer = _load(transformers, name)
    module = ZeroShot(model, ClipText(model, tokenizer).embed(names)).eval()
    vision = model.config.vision_config
    known = {"name": name, "channels": vision.num_channels, "size": vision.image_size}
    return build_with_processor(transformers, name, module, known, overrides)


def load_text_tower(name: str) -> ClipText:
    """Load the text tower that belongs to the classifier `clip:NAME`.

    Raises:
        ModelError: There is no such model, or it is not a CLIP model.
    """
    return ClipText(*_load(import_extra("transformers", "huggingface"), name))


def load_text_tower_of(classifier: Classifier) -> ClipText:
    """Load the text tower that belongs to a classifier.

    Raises:
        ModelError: It is not a CLIP model, or its text tower cannot be loaded.
    """
    if not has_text_tower(classifier):
        raise ModelError(f"{classifier.name} has no text tower; load a CLIP model as clip:NAME.")
    return load_text_tower(classifier.source.removeprefix("clip:"))


def has_text_tower(classifier: Classifier) -> bool:
    """Whether a classifier was loaded as `clip:NAME`, so that texts can be compared with its units."""
    return isinstance(classifier.module, ZeroShot) and classifier.source.startswith("clip:")


def _load(transformers: Any, name: str) -> tuple[Any, Any]:
    try:
        model, report = transformers.CLIPModel.from_pretrained(
            name, trust_remote_code=False, weights_only=True, output_loading_info=True
        )
        tokenizer = transformers.AutoTokenizer.from_pretrained(name, trust_remote_code=False)
    except Exception as error:
        raise ModelError(
            f"{name} cannot be loaded as a CLIP model of Hugging Face ({quoted(error)}); check the name and the "
            "network, or give a local folder with its config.json, weights and tokenizer: clip:FOLDER."
        ) from error
    if missing := report["missing_keys"]:
        raise ModelError(f"{name} has no trained weights for {', '.join(sorted(missing)[:3])}: it is not a CLIP model.")
    return model.float(), tokenizer


SOURCE = Source(
    form="clip:NAME",
    what="a CLIP model of the Hugging Face hub, or a local folder in its layout, as a zero-shot classifier",
    brings="weights, preprocessing; the texts that name the classes must be given",
    extra="huggingface",
    pattern="clip:(.+)",
    load=load,
)
