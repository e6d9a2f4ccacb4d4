from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from avatar_export.errors import AvatarExportError, ModelError, UserError
from avatar_export.networks.arguments import enhancer_arguments, parse_args_txt, run_arguments


@pytest.fixture
def args_txt(parity_runs: tuple[Path, Path], tmp_path: Path) -> Callable[..., Path]:
    """The base run's args.txt with some options replaced, or removed when None."""

    def write(newline: str = "\n", **options: str | None) -> Path:
        values = parse_args_txt(parity_runs[0] / "args.txt") | options
        lines = [f"{key}: {value}" for key, value in values.items() if value is not None]
        path = tmp_path / "args.txt"
        path.write_bytes((newline.join(lines) + newline).encode())
        return path

    return write


def test_options_of_the_sample(sample_runs: tuple[Path, Path]) -> None:
    args = run_arguments(sample_runs[0] / "args.txt")
    assert (args.image_size, args.inf_num_channels, args.inf_max_channels) == (128, 16, 64)
    assert (args.eps, args.pse_use_harmonic_enc, args.emb_apply_masks) == (1e-7, False, True)
    assert (args.num_up_blocks, args.num_down_blocks) == (5, 4)
    enhancer = enhancer_arguments(sample_runs[1] / "args.txt")
    assert (enhancer.enh_num_blocks, enhancer.enh_unrolling_depth) == (3, 4)
    assert enhancer.num_scale_blocks == 1


def test_windows_line_ends_and_blank_lines_are_read(args_txt: Callable[..., Path]) -> None:
    assert run_arguments(args_txt("\r\n")) == run_arguments(args_txt("\n\n"))


def test_empty_values_and_values_with_colons_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "args.txt"
    path.write_text("torch_home: \nlrs: a: 2e-4, b: 1\nimage_size: 256")
    assert parse_args_txt(path) == {
        "torch_home": "",
        "lrs": "a: 2e-4, b: 1",
        "image_size": "256",
    }


def test_options_newer_than_a_run_have_the_defaults_of_the_code(
    args_txt: Callable[..., Path],
) -> None:
    args = run_arguments(args_txt(eps=None, stickmen_thickness=None, num_source_frames=None))
    assert (args.eps, args.stickmen_thickness, args.num_source_frames) == (1e-7, 2, 1)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"image_size": None}, ["image_size", "missing"]),
        ({"inf_max_channels": ""}, ["inf_max_channels", "''", "positive int"]),
        ({"emb_num_channels": "many"}, ["emb_num_channels", "'many'"]),
        ({"emb_num_channels": "-8"}, ["emb_num_channels", "'-8'"]),
        ({"emb_num_channels": "0"}, ["emb_num_channels", "'0'"]),
        ({"emb_num_channels": "8.5"}, ["emb_num_channels", "'8.5'"]),
        ({"eps": "nan"}, ["eps", "'nan'", "positive float"]),
        ({"eps": "inf"}, ["eps", "'inf'"]),
        ({"pse_use_harmonic_enc": "yes"}, ["pse_use_harmonic_enc", "'yes'", "bool"]),
        ({"image_size": "100"}, ["image_size 100", "emb_output_tensor_size 8"]),
        ({"image_size": "8"}, ["image_size 8"]),
        ({"inf_input_tensor_size": "8"}, ["inf_input_tensor_size 8", "tex_input_tensor_size 4"]),
        ({"tex_norm_layer_type": "ada_bn"}, ["tex_norm_layer_type", "'ada_bn'", "ada_spade_bn"]),
        ({"inf_norm_layer_type": "ada_in"}, ["inf_norm_layer_type", "'ada_in'", "only 'ada_bn'"]),
        ({"inf_upsampling_type": "bilinear"}, ["inf_upsampling_type", "'bilinear'"]),
        ({"inf_pred_segmentation": "False"}, ["inf_pred_segmentation", "'False'"]),
    ],
)
def test_bad_option_is_refused_by_name(
    options: dict[str, str | None], words: list[str], args_txt: Callable[..., Path]
) -> None:
    with pytest.raises(ModelError) as caught:
        run_arguments(args_txt(**options))
    for word in words:
        assert word in caught.value.message


def test_base_run_is_no_enhancer_run(parity_runs: tuple[Path, Path]) -> None:
    with pytest.raises(ModelError, match="enh_num_channels is missing"):
        enhancer_arguments(parity_runs[0] / "args.txt")


@pytest.mark.parametrize(
    ("content", "kind", "words"),
    [
        (b"\xff\xfe\x00binary", ModelError, "cannot be read as text"),
        (b"image_size 256\n", ModelError, "line 1: expected 'key: value'"),
        (b"", ModelError, "image_size is missing"),
        (None, UserError, "does not exist"),
    ],
)
def test_file_that_is_no_args_txt(
    content: bytes | None, kind: type[AvatarExportError], words: str, tmp_path: Path
) -> None:
    if content is not None:
        (tmp_path / "args.txt").write_bytes(content)
    with pytest.raises(kind, match=words):
        run_arguments(tmp_path / "args.txt")
