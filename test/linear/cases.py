"""The golden cases of the last layer with its loss: the same for every peer, each of which computes in f64. numpy 2.4.6."""
import json
import math
import pathlib

import numpy as np

FOLDER = pathlib.Path(__file__).parent
V = [1.0, 0.5, 2.0, 0.25, 1.5]


def cases():
    """(name, [rows, depth, classes], options) of every case; PyTorch has an option for all but `zLoss`, `logitScale`, `softcap`, `sampleWeight` and `classMask`."""
    small = [4, 3, 5]
    yield "mean", small, {}
    yield "sum", small, {"reduction": "sum"}
    yield "a loss per row, upstream per row", small, {"reduction": "none", "upstream": [0.5, -1.0, 2.0, 0.25]}
    yield "class weights", small, {"classWeight": V}
    yield "ignored rows", [6, 3, 5], {"ignoreIndex": -100}
    yield "ignored rows, class weights", [6, 3, 5], {"ignoreIndex": -100, "classWeight": V}
    yield "smoothing", small, {"labelSmoothing": 0.1}
    yield "smoothing, class weights", small, {"labelSmoothing": 0.2, "classWeight": V}
    yield "smoothing, class weights, ignored rows", [6, 3, 5], {"labelSmoothing": 0.1, "classWeight": V, "ignoreIndex": -100}
    yield "z-loss", small, {"zLoss": 0.01}
    yield "z-loss, smoothing, ignored rows", [6, 3, 5], {"zLoss": 0.001, "labelSmoothing": 0.1, "ignoreIndex": -100}
    yield "logit scale", small, {"logitScale": 0.5}
    yield "sample weights", small, {"sampleWeight": [0.5, 0.0, 2.0, 1.0], "reduction": "sum"}
    yield "all rows ignored", [3, 2, 4], {"ignoreIndex": -100, "emptyMean": "nan"}
    yield "one row, depth 1", [1, 1, 3], {}
    yield "upstream", [5, 7, 9], {"upstream": -3.0}
    yield "softcap", small, {"softcap": 1.5}
    yield "softcap, smoothing, class weights, ignored rows", [6, 3, 5], {"softcap": 2.0, "labelSmoothing": 0.1, "classWeight": V, "ignoreIndex": -100}
    yield "softcap, z-loss, logit scale", small, {"softcap": 0.75, "zLoss": 0.01, "logitScale": 0.5}
    yield "masked classes", small, {"classMask": [1, 0, 1, 1, 0]}
    yield "masked classes, class weights, ignored rows", [6, 3, 5], {"classMask": [0, 1, 1, 0, 1], "classWeight": V, "ignoreIndex": -100}


def inputs(index, name, shape, options):
    """Hidden states, weights and bias that are exact in f32, and labels."""
    rows, depth, classes = shape
    rng = np.random.default_rng(index)
    draw = lambda *dims: rng.normal(0, 1, dims).astype(np.float32).astype(np.float64)
    labels = rng.integers(0, classes, rows)
    if "classMask" in options:
        kept = np.flatnonzero(options["classMask"])
        labels = kept[labels % len(kept)]
    if "ignoreIndex" in options:
        labels[::2] = options["ignoreIndex"]
    if name == "all rows ignored":
        labels[:] = options["ignoreIndex"]
    return draw(rows, depth), draw(classes, depth), draw(classes), labels


def written(value):
    if isinstance(value, np.ndarray):
        return [written(one) for one in value.reshape(-1)]
    value = float(value)
    return value if math.isfinite(value) else str(value)


def write(file, made, compute, has=lambda options: True):
    """Writes what `compute(hidden, weight, bias, labels, options)` gives, the loss and three gradients, for every case whose options the peer `has`."""
    lines = []
    for index, (name, shape, options) in enumerate(cases()):
        if not has(options):
            continue
        hidden, weight, bias, labels = inputs(index, name, shape, options)
        loss, *grads = compute(hidden, weight, bias, labels, options)
        lines.append({
            "name": name, **dict(zip(("rows", "depth", "classes"), shape)),
            "hidden": written(hidden), "weight": written(weight), "bias": written(bias), "labels": [int(label) for label in labels], "options": options,
            "loss": written(np.asarray(loss)), "grad": {key: written(np.asarray(grad)) for key, grad in zip(("hidden", "weight", "bias"), grads)},
        })
    text = ",\n".join(json.dumps(line) for line in lines)
    (FOLDER / file).write_text(f'{{ "made": {json.dumps(made)},\n"cases": [\n{text}\n] }}\n')
    print(f"{file}: {len(lines)} cases")
