"""Small ONNX models in text form, golden DLC files, and a stand-in for an SNPE SDK."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper, parser

DATA = Path(__file__).parent / "data"

CONV = """
<ir_version: 8, opset_import: ["" : 13]>
g (float[1,4,8,8] x, float[4,4,3,3] w, float[4] b) => (float[1,4,8,8] y) {
  [conv] y = Conv<kernel_shape=[3,3], pads=[1,1,1,1]>(x, w, b)
}
"""

ModelMaker = Callable[..., Path]
SdkMaker = Callable[..., Path]


@pytest.fixture
def golden() -> Callable[[str], bytes]:
    """Bytes of a file in tests/dlc/data."""
    return lambda name: (DATA / name).read_bytes()


@pytest.fixture
def save_model(tmp_path: Path) -> ModelMaker:
    """Write ONNX text as a model; the inputs named in ``weights`` become initializers."""

    def save(text: str, weights: str = "", name: str = "model.onnx") -> Path:
        model = parser.parse_model(text)
        for info in [info for info in model.graph.input if info.name in weights.split()]:
            shape = [dim.dim_value for dim in info.type.tensor_type.shape.dim]
            values = (np.arange(np.prod(shape)) % 17 - 8).astype(np.float32) / 8
            model.graph.initializer.append(
                numpy_helper.from_array(values.reshape(shape), info.name)
            )
            model.graph.input.remove(info)
        onnx.save(model, tmp_path / name)
        return tmp_path / name

    return save


@pytest.fixture
def conv_model(save_model: ModelMaker) -> Path:
    """The model of conv_3x3_s1_p1.*.dlc, but for the weights."""
    return save_model(CONV, "w b", "conv.onnx")


CONVERTER = """\
#!{python}
import argparse, os, shutil, sys, time

try:
    import qti_stand_in
except ImportError as error:
    print("Failed to find necessary python package")
    print(error)
    print("Please ensure that $SNPE_ROOT/lib/python is in your PYTHONPATH")
    sys.exit(1)

parser = argparse.ArgumentParser(prog="snpe-onnx-to-dlc")
if {old}:
    parser.add_argument("--model_path", "-m", required=True, dest="model")
    parser.add_argument("--dlc_path", "-d", dest="out")
    parser.add_argument("--encoding", nargs=2, action="append")
else:
    parser.add_argument("--input_network", "-i", required=True, dest="model")
    parser.add_argument("--output_path", "-o", dest="out")
    parser.add_argument("-d", "--input_dim", nargs=2, action="append")
    parser.add_argument("--input_encoding", nargs="+", action="append")
parser.add_argument("--debug", action="store_true")
args = parser.parse_args()
if not os.path.exists(args.model):
    sys.exit("no such model: " + args.model)
golden = {golden!r}

def log(line, level, text):
    print("2020-06-01 10:00:00,000 - %d - %s - %s" % (line, level, text), file=sys.stderr)

{behaviour}
"""

GOOD = """
log(172, "WARNING", "WARNING_OP_VERSION_NOT_SUPPORTED: Operation Relu Not Supported. "
    "Expected operator version: [1, 6], instead got version: [14]")
log(161, "INFO", "INFO_DLC_SAVE_LOCATION: Saving model at " + args.out)
shutil.copy(golden, args.out)
log(161, "INFO", "INFO_CONVERSION_SUCCESS: Conversion completed successfully")
"""


@pytest.fixture
def make_sdk(tmp_path: Path) -> SdkMaker:
    """Build a folder like an unpacked SDK, with a converter that takes that release's options.

    The options are those of SNPE 1.17.0 (before 1.32) and 2.5.0; the console lines are those that
    public logs show; the file it "converts" to is a golden one.
    """

    def make(
        version: str = "2.25.0",
        behaviour: str = GOOD,
        *,
        golden: str = "conv_3x3_s1_p1.sdk.dlc",
        old_options: bool | None = None,
    ) -> Path:
        root = tmp_path / f"snpe-{version}"
        converter = root / "bin" / "x86_64-linux-clang" / "snpe-onnx-to-dlc"
        package = root / "lib" / "python" / "qti_stand_in.py"
        for path in (converter, package):
            path.parent.mkdir(parents=True)
            path.touch()
        major, minor = (int(part) for part in version.split(".")[:2])
        old = (major, minor) < (1, 32) if old_options is None else old_options
        text = CONVERTER.format(
            python=sys.executable,
            old=old,
            golden=str(DATA / golden),
            behaviour=textwrap.dedent(behaviour),
        )
        converter.write_text(text)
        converter.chmod(0o755)
        (root / "ReleaseNotes.txt").write_text(f"SNPE SDK\n\nText.\n\nSNPE {version}\n")
        return root

    return make


@pytest.fixture
def without_qnn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make onnxruntime-qnn look as if it were not installed."""
    from importlib import util

    real = util.find_spec
    monkeypatch.setattr(
        util, "find_spec", lambda name, *a: None if name == "onnxruntime_qnn" else real(name, *a)
    )
