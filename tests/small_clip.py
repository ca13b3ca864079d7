"""A CLIP model small enough to be trained in a test, with a tokenizer that knows a few words."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from torch.nn import functional

DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
WORDS = ("a", "photo", "of", "the", "digit", "cat", "dog", "house", "tree", "red", "small", "old", "car", "river")
SIZE = 16
RATE = 3e-3
PROCESSOR = {
    "image_processor_type": "CLIPImageProcessor",
    "size": {"shortest_edge": SIZE},
    "do_center_crop": True,
    "crop_size": {"height": SIZE, "width": SIZE},
    "image_mean": [0.3, 0.35, 0.4],
    "image_std": [0.3, 0.25, 0.35],
}


def new_clip():
    """An untrained model and its tokenizer, as transformers has them."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import CLIPConfig, CLIPModel, PreTrainedTokenizerFast

    names = ["<start>", "<end>", "<pad>", "<unknown>", *DIGITS, *WORDS]
    vocabulary = {word: i for i, word in enumerate(names)}
    start, end, pad, unknown = names[:4]
    inner = Tokenizer(models.WordLevel(vocabulary, unk_token=unknown))
    inner.pre_tokenizer = pre_tokenizers.Whitespace()
    inner.post_processor = processors.TemplateProcessing(
        "<start> $A <end>", special_tokens=[("<start>", 0), ("<end>", 1)]
    )
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=inner, bos_token=start, eos_token=end, pad_token=pad, unk_token=unknown
    )
    both = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2}
    text = {
        **both,
        "vocab_size": len(names),
        "max_position_embeddings": 12,
        "bos_token_id": 0,
        "eos_token_id": 1,
        "pad_token_id": 2,
    }
    vision = {**both, "image_size": SIZE, "patch_size": 4}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=24))
    return model.eval(), tokenizer


def save_clip(model, tokenizer, folder: Path) -> Path:
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    (folder / "preprocessor_config.json").write_text(json.dumps(PROCESSOR))
    return folder


def digits():
    """Handwritten digits, N x 3 x 16 x 16 in [0, 1], and which they are."""
    from sklearn.datasets import load_digits

    found = load_digits()
    pixels = torch.from_numpy(found.images).float()[:, None] / 16
    return functional.interpolate(pixels, (SIZE, SIZE)).repeat(1, 3, 1, 1), torch.from_numpy(found.target)


def trained_clip(steps: int = 400):
    """Trained to find, for each image of a digit, its name among all ten, with or without words around it."""
    model, tokenizer = new_clip()
    pixels, target = digits()
    mean, std = (torch.tensor(PROCESSOR[f"image_{name}"]).view(1, 3, 1, 1) for name in ("mean", "std"))
    pixels = (pixels - mean) / std
    random = torch.Generator().manual_seed(0)
    optimizer = torch.optim.Adam(model.parameters())
    for step in range(steps):
        rows = torch.randint(len(pixels), (64,), generator=random)
        frame = ("{}", "a photo of {}", "the digit {}")[step % 3]
        texts = tokenizer([frame.format(name) for name in DIGITS], return_tensors="pt", padding=True)
        read = {"input_ids": texts["input_ids"], "attention_mask": texts["attention_mask"]}
        logits = model(pixel_values=pixels[rows], **read).logits_per_image
        optimizer.param_groups[0]["lr"] = RATE * (1 - step / steps)
        optimizer.zero_grad()
        functional.cross_entropy(logits, target[rows]).backward()
        optimizer.step()
    return model.eval(), tokenizer
