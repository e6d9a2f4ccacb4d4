from __future__ import annotations

from avatar_export.checking.opinion import disagreements
from avatar_export.dlc.qnngpu import NodeOpinion, SecondOpinion
from avatar_export.whitelist.finding import Severity, Verdict

from .judged import judgement

OPINION = SecondOpinion(
    "onnxruntime-qnn 2.7.0, libQnnGpu.so (QNN 2.51)",
    (
        NodeOpinion("fine", "Relu", "accepted"),
        NodeOpinion("refused", "Relu", "refused", "Relu: 3110"),
        NodeOpinion("both", "Relu", "refused", "Relu: 3110"),
        NodeOpinion("silent", "Relu", "not sent", "a constant"),
    ),
)
NODES = {
    "fine": Verdict.SUPPORTED,
    "refused": Verdict.CONSTRAINED,
    "both": Verdict.UNSUPPORTED,
    "silent": Verdict.SUPPORTED,
}


def test_only_what_the_tables_accept_and_the_backend_refuses():
    (said,) = disagreements(judgement(nodes=NODES), OPINION)
    assert (said.code, said.node, said.severity) == ("AX302", "refused", Severity.WARNING)
    assert "Relu: 3110" in said.reason
    assert OPINION.version in said.source and "upper bound" in said.source


def test_it_speaks_of_the_gpu_only():
    assert disagreements(judgement(nodes=NODES, runtime="cpu"), OPINION) == ()
