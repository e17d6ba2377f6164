"""Golden cases from the node tests of onnx 1.23.2 (Apache-2.0), numpy 2.4.6. Writes onnx.json.

All 34 SoftmaxCrossEntropyLoss and 18 NegativeLogLikelihoodLoss cases of onnx.backend.test.case.node: f32 inputs and the outputs stored with them. A case
of more than 60 logits is cut to two along every dimension but the class axis, and its outputs come from onnx.reference.ReferenceEvaluator.
ONNX has no gradient of these operators, so none is expected. Its outputs are f32 sums: tolerance 1e-5.
"""
import warnings

import numpy as np
import onnx
from onnx.backend.test.case.node import collect_testcases
from onnx.reference import ReferenceEvaluator

import cases
from cases import Logits

TOLERANCE = 1e-5
KEPT_WHOLE = 60
PRESET = {"axis": 1, "emptyMean": "nan"}


def node_tests():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        every = collect_testcases(None)
    wanted = [t for t in every if t.name.startswith(("test_sce_", "test_nllloss_")) and not t.name.endswith("_expanded")]
    return sorted(wanted, key=lambda t: t.name)


def cut(x, y):
    """Two along every dimension but the class axis."""
    x = x[(slice(2), slice(None)) + (slice(2),) * (x.ndim - 2)]
    return np.ascontiguousarray(x), np.ascontiguousarray(y[(slice(2),) * y.ndim])


def from_test(test):
    inputs, outputs = test.data_sets[0]
    node = test.model.graph.node[0]
    attributes = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
    x, y, *weight = inputs
    name = test.name.removeprefix("test_")
    if x.size > KEPT_WHOLE:
        x, y = cut(x, y)
        bare = onnx.ModelProto()
        bare.CopyFrom(test.model)
        for value in list(bare.graph.input) + list(bare.graph.output):
            value.type.tensor_type.ClearField("shape")
        outputs = ReferenceEvaluator(bare).run(None, dict(zip(node.input, [x, y, *weight])))
        name += f" cut to {list(x.shape)}"
    is_nll = node.op_type == "NegativeLogLikelihoodLoss"
    options = PRESET | {"reduction": attributes.get("reduction", b"mean").decode()}
    if is_nll:
        options["input"] = "logProbs"
    if "ignore_index" in attributes:
        options["ignoreIndex"] = int(attributes["ignore_index"])
    if weight:
        options["classWeight"] = {"dtype": "f32", "shape": [int(weight[0].size)], "values": [float(str(v)) for v in weight[0]]}
    loss = np.asarray(outputs[0], np.float64)
    expect = {"loss": loss.reshape(-1) if options["reduction"] == "none" else float(loss)}
    if len(outputs) > 1:
        options["outputs"] = ["targetLogProb"]
        known = (y != options.get("ignoreIndex", y.min() - 1))
        picked = np.take_along_axis(np.asarray(outputs[1], np.float64), np.expand_dims(np.where(known, y, 0), 1), 1).squeeze(1)
        expect["targetLogProb"] = np.where(known, picked, np.nan).reshape(-1)
    return cases.case(name, "onnx", Logits("f32", x.astype(np.float64)), y.astype(object), options, expect, tolerance=TOLERANCE,
                      label_dtype={"int32": "i32", "int64": "i64"}[str(y.dtype)], digits=9)


def make():
    made = [from_test(test) for test in node_tests()]
    if len(made) != 34 + 18:
        raise SystemExit(f"onnx has {len(made)} node cases, expected 34 + 18")
    cases.write("onnx", {"onnx": onnx.__version__, "numpy": np.__version__}, made)


if __name__ == "__main__":
    make()
