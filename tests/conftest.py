"""Fixtures shared by all tests: where the data lies, and the two trained runs, loaded once."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from avatar_export import resources
from avatar_export.networks.bilayer import BilayerModel
from avatar_export.networks.run_folder import load_model

ROOT = Path(__file__).resolve().parent.parent
DATA = ROOT / "tests" / "data"
SAMPLE = resources.sample()

# The scripts in benchmarks/ are no package of the wheel; tests import them from the checkout.
sys.path.insert(0, str(ROOT))


def load_npz(path: Path) -> dict[str, Tensor]:
    """Every array of an .npz file as a tensor."""
    with np.load(path, allow_pickle=False) as arrays:
        return {key: torch.from_numpy(arrays[key]) for key in arrays.files}


@pytest.fixture(scope="session")
def data_folder() -> Path:
    """tests/data: reference inputs and outputs of the original code (README.md there)."""
    return DATA


@pytest.fixture(scope="session")
def sample_folder() -> Path:
    """The built-in sample: runs/, source.png, keypoints.npy, mask.png, driving.npy."""
    return SAMPLE


@pytest.fixture(scope="session")
def sample_runs(sample_folder: Path) -> tuple[Path, Path]:
    """Base and enhancer run folder of the sample (128 px)."""
    runs = sample_folder / "runs"
    return runs / "portrait_main", runs / "portrait_enhancer"


@pytest.fixture(scope="session")
def parity_runs(data_folder: Path) -> tuple[Path, Path]:
    """Base and enhancer run folder of the small parity model (64 px)."""
    runs = data_folder / "parity_small" / "runs"
    return runs / "parity_main", runs / "parity_enhancer"


@pytest.fixture(scope="session")
def sample_model(sample_runs: tuple[Path, Path]) -> BilayerModel:
    """The sample's networks with enhancer; treat as read-only."""
    return load_model(*sample_runs)


@pytest.fixture(scope="session")
def sample_inputs(data_folder: Path) -> dict[str, Tensor]:
    """What the sample's networks saw: source frame and the first six driving frames."""
    return load_npz(data_folder / "portrait" / "inputs.npz")


@pytest.fixture(scope="session")
def parity_model(parity_runs: tuple[Path, Path]) -> BilayerModel:
    """The small parity model with enhancer; treat as read-only."""
    return load_model(*parity_runs)


@pytest.fixture(scope="session")
def parity_inputs(data_folder: Path) -> dict[str, Tensor]:
    """One identity, one source frame, three target frames at 64 px."""
    return load_npz(data_folder / "parity_small" / "inputs.npz")
