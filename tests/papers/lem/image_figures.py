"""Sizes at which the figures of images are tested, and their presets at full scale."""

from importlib import resources
from typing import Any

import yaml

TINY: dict[str, Any] = {"train_images": 20, "validation_images": 10, "test_images": 10, "width": 4}
TINY |= {"batch_size": 10, "epochs": 2, "seeds": 2, "models": ("LEM", "GRU"), "device": "cpu"}


def presets() -> dict[str, dict[str, Any]]:
    paper = resources.files("curse_of_memory.papers.lem") / "paper.yaml"
    return yaml.safe_load(paper.read_text(encoding="utf-8"))["presets"]["paper"]
