from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch

from avatar_export.errors import UserError
from avatar_export.networks.run_folder import (
    BASE_NETWORKS,
    ENHANCER_NETWORKS,
    find_run,
    load_model,
)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    (tmp_path / "run" / "checkpoints").mkdir(parents=True)
    return tmp_path / "run"


def add(run: Path, epoch: int, networks: tuple[str, ...] = BASE_NETWORKS) -> None:
    for network in networks:
        (run / "checkpoints" / f"{epoch}_{network}.pth").touch()


def test_newest_complete_epoch_is_chosen_by_number(run: Path) -> None:
    """Not by spelling: "900" sorts after "1000"."""
    for epoch in (25, 900, 1000):
        add(run, epoch)
    assert find_run(run, BASE_NETWORKS).epoch == 1000


def test_incomplete_epoch_is_skipped(run: Path) -> None:
    add(run, 25)
    add(run, 50, BASE_NETWORKS[:3])
    assert find_run(run, BASE_NETWORKS).epoch == 25


def test_given_epoch_is_chosen(run: Path) -> None:
    add(run, 25)
    add(run, 50)
    found = find_run(run, BASE_NETWORKS, 25)
    assert found.checkpoint("texture_generator").name == "25_texture_generator.pth"
    assert found.args_txt == run / "args.txt"


def test_other_files_are_ignored(run: Path) -> None:
    add(run, 25)
    add(run, 50, ("discriminator",))
    for name in ("latest_identity_embedder.pth", "99_identity_embedder.pth.tmp", "notes.txt"):
        (run / "checkpoints" / name).touch()
    assert find_run(run, BASE_NETWORKS).epoch == 25


def test_missing_epoch_names_those_that_are_there(run: Path) -> None:
    add(run, 25)
    add(run, 50)
    with pytest.raises(UserError, match="epoch 75") as caught:
        find_run(run, BASE_NETWORKS, 75)
    assert "complete there: 25, 50" in caught.value.hint


def test_incomplete_given_epoch_names_what_it_lacks(run: Path) -> None:
    add(run, 50, BASE_NETWORKS[:3])
    with pytest.raises(UserError, match=r"epoch 50 for inference_generator$"):
        find_run(run, BASE_NETWORKS, 50)


def test_no_complete_epoch_at_all(run: Path) -> None:
    add(run, 50, BASE_NETWORKS[1:])
    with pytest.raises(UserError, match="identity_embedder") as caught:
        find_run(run, BASE_NETWORKS)
    assert "no complete epoch" in caught.value.hint


def test_enhancer_run_given_as_base_run(parity_runs: tuple[Path, Path]) -> None:
    with pytest.raises(UserError, match="lacks checkpoints"):
        load_model(parity_runs[1])


@pytest.mark.parametrize("name", ["nowhere", "run/checkpoints"])
def test_folder_without_checkpoints_is_no_run(name: str, run: Path) -> None:
    with pytest.raises(UserError, match=r"no checkpoints/") as caught:
        find_run(run.parent / name, BASE_NETWORKS)
    assert "args.txt" in caught.value.hint


def test_run_without_args_txt(run: Path) -> None:
    add(run, 1)
    with pytest.raises(UserError, match=r"args\.txt does not exist"):
        load_model(run)


def test_model_knows_its_epochs(parity_runs: tuple[Path, Path]) -> None:
    model = load_model(*parity_runs)
    assert (model.epoch, model.enhancer_epoch) == (2225, 1225)
    assert not model.training
    base_only = load_model(parity_runs[0])
    assert base_only.texture_enhancer is None
    assert base_only.enhancer_epoch is None


def test_given_epoch_decides_which_weights_are_read(
    parity_runs: tuple[Path, Path], tmp_path: Path
) -> None:
    run = shutil.copytree(parity_runs[0], tmp_path / "run")
    for network in BASE_NETWORKS:
        path = run / "checkpoints" / f"2225_{network}.pth"
        state = torch.load(path, weights_only=True)
        torch.save({k: v * 0 if k == "net.mlp.0.bias" else v for k, v in state.items()}, path)
        shutil.move(path, run / "checkpoints" / f"3_{network}.pth")
        shutil.copy(parity_runs[0] / "checkpoints" / path.name, path)
    key = "keypoints_embedder.net.mlp.0.bias"
    assert load_model(run).state_dict()[key].abs().sum() > 0
    assert load_model(run, epoch=3).state_dict()[key].abs().sum() == 0


def test_enhancer_of_another_image_size_is_refused(
    parity_runs: tuple[Path, Path], sample_runs: tuple[Path, Path]
) -> None:
    with pytest.raises(UserError, match=r"trained at 128 px.* at 64 px"):
        load_model(parity_runs[0], sample_runs[1])


def test_missing_enhancer_epoch(parity_runs: tuple[Path, Path]) -> None:
    assert find_run(parity_runs[1], ENHANCER_NETWORKS).epoch == 1225
    with pytest.raises(UserError, match="epoch 7 for texture_enhancer"):
        load_model(*parity_runs, enhancer_epoch=7)
