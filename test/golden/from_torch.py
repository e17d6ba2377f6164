"""Golden cases from PyTorch 2.15.0 (CPU), numpy 2.4.6. Writes torch.json.

PyTorch computes in f64 from the widened inputs. Options it has are passed to F.cross_entropy or F.nll_loss as they are; the others (z-loss, focal,
poly-1, per-row weights, `row` smoothing) are written in PyTorch around F.cross_entropy and differentiated by autograd.
"""
import itertools
import math

import numpy as np
import torch
import torch.nn.functional as F

import cases
from cases import Logits, drawn, drawn_labels, painted
from definition import class_weights, filled, numbers, per_row

DTYPES = ("f32", "f64", "f16", "bf16")
V3, V4 = [1.0, 0.25, 2.0], [1.0, 0.5, 2.0, 0.25]
LAYOUTS = {"[N,C]": (3, 4), "[N,C,d1]": (2, 3, 3), "[N,C,H,W]": (1, 3, 2, 3)}
NATIVE = {"axis", "reduction", "classWeight", "ignoreIndex", "labelSmoothing", "upstream", "emptyMean", "input", "outputs"}


def torch_results(logits, labels, options, previous=None):
    """loss and grad of PyTorch, and what `outputs` asks for. backward() adds to `previous`, if there is one."""
    o = filled(options)
    x = torch.tensor(logits.values, dtype=torch.float64, requires_grad=True)
    x.grad = None if previous is None else torch.tensor(previous.values)
    axis = o["axis"] % x.ndim
    z = x.movedim(axis, 1) if x.ndim > 1 else x
    y, ignore = torch_labels(labels, o)
    is_native = set(options) <= NATIVE
    loss = native(z, y, ignore, o) if is_native else assembled(z, y, ignore, o)
    upstream = torch.tensor(per_row(o["upstream"], tuple(y.shape)).reshape(y.shape)) if loss.ndim or o["reduction"] == "none" else torch.tensor(float(o["upstream"]))
    if loss.requires_grad and x.numel():
        loss.backward(upstream)
    out = {"loss": loss.detach().numpy(), "grad": np.zeros(x.shape) if x.grad is None else x.grad.numpy()}
    if o["outputs"] == ["perClass"]:
        return out | {"perClass": grouped(logits, labels, options, z.detach(), y, ignore)}
    return out | torch_outputs(z.detach(), y, ignore, o)


def grouped(logits, labels, options, z, y, ignore):
    """perClass: PyTorch's loss of each row, its weight, 1, and whether its largest logit is its label's, added up by label."""
    each = torch_results(logits, labels, {key: value for key, value in options.items() if key != "outputs"} | {"reduction": "none"})
    known, o = y != ignore, filled(options)
    omega = torch.tensor(per_row(o["sampleWeight"], tuple(y.shape)).reshape(y.shape))
    v = torch.tensor(class_weights(o["classWeight"], z.shape[1]))
    columns = {"loss": torch.tensor(each["loss"]), "weight": v[torch.where(known, y, 0)] * omega, "count": torch.ones_like(omega), "correct": (z.argmax(1) == y).double()}
    return {name: torch.zeros(z.shape[1], dtype=torch.float64).index_add(0, y[known], column[known]).numpy() for name, column in columns.items()}


def torch_labels(labels, o):
    """PyTorch ignores one value: every ignored label becomes that one."""
    ignore = o["ignoreIndex"] if isinstance(o["ignoreIndex"], list) else [] if o["ignoreIndex"] is None else [o["ignoreIndex"]]
    own = ignore[0] if len(ignore) == 1 and abs(ignore[0]) < 2 ** 62 else -100
    replaced = np.array([own if int(y) in ignore else int(y) for y in np.asarray(labels, object).reshape(-1)], np.int64)
    return torch.tensor(replaced.reshape(np.shape(labels))), own


def native(z, y, ignore, o):
    weight = None if o["classWeight"] is None else torch.tensor(class_weights(o["classWeight"], z.shape[1 if z.ndim > 1 else 0]))
    if o["input"] == "logProbs":
        return F.nll_loss(z, y, weight=weight, ignore_index=ignore, reduction=o["reduction"])
    return F.cross_entropy(z, y, weight=weight, ignore_index=ignore, reduction=o["reduction"], label_smoothing=o["labelSmoothing"])


def assembled(z, y, ignore, o):
    classes = z.shape[1]
    v = torch.tensor(class_weights(o["classWeight"], classes))
    omega = torch.tensor(per_row(o["sampleWeight"], tuple(y.shape)).reshape(y.shape))
    valid = y != ignore
    w = torch.where(valid, v[torch.where(valid, y, 0)] * omega, 0.0)
    z = o["softcap"] * torch.tanh(z / o["softcap"]) if o["softcap"] else z
    eps, scaled = o["labelSmoothing"], o["logitScale"] * z
    if o["input"] == "logProbs":
        ce = F.nll_loss(z, y, ignore_index=ignore, reduction="none")
        even = lambda weights: -(z.movedim(1, -1) * weights).mean(-1)
    else:
        ce = F.cross_entropy(scaled, y, ignore_index=ignore, reduction="none")
        even = lambda weights: F.cross_entropy(scaled, y, weight=weights, ignore_index=ignore, reduction="none", label_smoothing=1.0)
    f = ce
    if o["focalGamma"] or o["poly1Epsilon"]:
        r = -torch.expm1(-ce)
        f = r ** o["focalGamma"] * (ce + o["poly1Epsilon"] * r)
    if o["gceQ"]:
        # Zhang and Sabuncu's formula, by the probability.
        f = (1 - torch.exp(-ce) ** o["gceQ"]) / o["gceQ"]
    h = (1 - eps) * w * f
    if eps and o["smoothingWeights"] == "class":
        h = h + eps * omega * even(v)
    if eps and o["smoothingWeights"] == "row":
        h = h + eps * w * even(torch.ones(classes, dtype=torch.float64))
    if o["zLoss"]:
        h = h + o["zLoss"] * w * torch.logsumexp(scaled, 1) ** 2
    h = torch.where(valid, h, 0.0)
    if o["reduction"] != "mean":
        return h if o["reduction"] == "none" else h.sum()
    d = {"weights": w.sum(), "valid": valid.sum(), "all": y.numel(), "nonzero": (valid & (w != 0)).sum()}.get(o["denominator"], o["denominator"])
    return h.sum() / d


def torch_outputs(z, y, ignore, o):
    z = o["softcap"] * torch.tanh(z / o["softcap"]) if o["softcap"] else z
    scaled, known = o["logitScale"] * z, y != ignore
    if not o["outputs"]:
        return {}
    logs = F.log_softmax(scaled, 1).gather(1, torch.where(known, y, 0).unsqueeze(1)).squeeze(1)
    every = {
        "logSumExp": torch.where(known, torch.logsumexp(scaled, 1), math.nan), "targetLogProb": torch.where(known, logs, math.nan),
        "predictions": torch.where(known, scaled.argmax(1), -1),
    }
    return {key: every[key].numpy().reshape(-1) for key in o["outputs"]}


class Book:
    """The list of cases, one call for each."""

    def __init__(self):
        self.cases = []

    def add(self, name, logits, labels, options, previous=None, **more):
        self.put(name, logits, labels, options, torch_results(logits, labels, options, previous), previous=previous, **more)

    def put(self, name, logits, labels, options, expect, **more):
        self.cases.append(cases.case(name, "torch", logits, labels, options, expect, **more))


def grid(book):
    """F.cross_entropy's own options: reduction x smoothing x class weights x ignore_index x layout, the dtypes taking turns."""
    turn = 0
    for layout, shape in LAYOUTS.items():
        for reduction, smoothing, weights, ignore in itertools.product(("mean", "sum", "none"), (0, 0.125), (False, True), (False, True)):
            classes = shape[1]
            rows = (shape[0],) + shape[2:]
            dtype, seed = DTYPES[(turn + turn // 4 + turn // 24) % 4], 1000 + turn
            turn += 1
            options = {"axis": 1, "reduction": reduction}
            if smoothing:
                options["labelSmoothing"] = smoothing
            if weights:
                options["classWeight"] = V4 if classes == 4 else V3
            if ignore:
                options["ignoreIndex"] = -100
            said = [word for word, on in (("weights", weights), ("ignore", ignore), ("smoothing", smoothing)) if on] or ["plain"]
            labels = drawn_labels(rows, classes, seed, -100 if ignore else None)
            book.add(f"{reduction} {' '.join(said)} axis 1 {layout} {dtype}", painted(dtype, shape, seed), labels, options, label_dtype="i64" if turn % 3 else "i32")


def dtypes(book):
    """Full mantissas and more classes than one vector, in every dtype."""
    for at, dtype in enumerate(DTYPES):
        book.add(f"33 classes full mantissas mean {dtype}", drawn(dtype, (2, 33), 50 + at), drawn_labels((2,), 33, 50 + at), {})
        book.add(f"17 classes full mantissas smoothing weights per-row upstream {dtype}", drawn(dtype, (3, 17), 60 + at), drawn_labels((3,), 17, 60 + at),
                 {"reduction": "none", "labelSmoothing": 0.1, "classWeight": [0.25 + k / 8 for k in range(17)], "upstream": [1.0, -2.0, 0.5]})
        book.add(f"5 class planes of 7 pixels full mantissas {dtype}", drawn(dtype, (1, 5, 7), 70 + at), drawn_labels((1, 7), 5, 70 + at), {"axis": 1, "labelSmoothing": 0.1})
        book.add(f"all options at once {dtype}", drawn(dtype, (4, 6), 80 + at), drawn_labels((4,), 6, 80 + at, -1),
                 {"classWeight": [1, 0.5, 2, 0.25, 1, 3], "sampleWeight": [1, 0.5, 2, 1.5], "labelSmoothing": 0.1, "ignoreIndex": -1, "zLoss": 0.01,
                  "focalGamma": 2.0, "poly1Epsilon": 1.0, "logitScale": 0.5, "upstream": 3.0})


def sample_weights(book):
    """A weight for each row, under every reduction and denominator."""
    reductions = [("none", None), ("sum", None)] + [("mean", d) for d in ("weights", "valid", "all", "nonzero", 2.5)]
    for at, (reduction, denominator) in enumerate(reductions):
        options = {"reduction": reduction} | ({} if denominator is None else {"denominator": denominator})
        said = reduction if denominator is None else f"mean over {denominator}"
        x, y = painted(DTYPES[at % 2], (4, 4), 200 + at), drawn_labels((4,), 4, 200 + at, -100, 0.2)
        w = [1.5, 0.0, 2.0, 0.25]
        book.add(f"{said} sample weights ignore", x, y, options | {"sampleWeight": w, "ignoreIndex": -100})
        book.add(f"{said} sample weights class weights", x, drawn_labels((4,), 4, 200 + at), options | {"sampleWeight": w, "classWeight": V4})
        book.add(f"{said} class weights ignore smoothing row", x, y, options | {"classWeight": V4, "ignoreIndex": -100, "labelSmoothing": 0.25, "smoothingWeights": "row"})
    x, y = painted("f32", (2, 3, 2), 230), drawn_labels((2, 2), 3, 230)
    book.add("sample weights of the labels' shape in f32", x, y, {"axis": 1, "sampleWeight": {"dtype": "f32", "shape": [2, 2], "values": [1, 0.5, 2, 3]}})
    book.add("sample weights broadcast over the last label dimension", x, y, {"axis": 1, "sampleWeight": {"dtype": "f64", "shape": [2, 1], "values": [0.5, 3]}})
    book.add("sample weights broadcast over the first label dimension", x, y, {"axis": 1, "sampleWeight": {"dtype": "f32", "shape": [1, 2], "values": [0.5, 3]}})
    book.add("sample weights as a u8 mask", x, y, {"axis": 1, "sampleWeight": {"dtype": "u8", "shape": [2, 2], "values": [1, 0, 0, 1]}})
    book.add("one sample weight for all rows", x, y, {"axis": 1, "sampleWeight": 0.5, "reduction": "sum"})
    book.add("negative sample weights sum", x, y, {"axis": 1, "sampleWeight": [1, -0.5, 2, -1], "reduction": "sum"})
    book.add("negative sample weights mean over weights", x, y, {"axis": 1, "sampleWeight": [1, -0.5, 2, -1]})
    book.add("class weights in f32", x, y, {"axis": 1, "classWeight": {"dtype": "f32", "shape": [3], "values": [0.5, 2, 1]}})
    book.add("class weights by class number, missing is 1", x, y, {"axis": 1, "classWeight": {"1": 3}})
    book.add("negative class weight", x, y, {"axis": 1, "classWeight": [1, -0.5, 2], "denominator": "valid"})
    book.add("class weight 0 drops the row without smoothing", x, [[0, 1], [1, 2]], {"axis": 1, "classWeight": [1, 0, 2]})
    book.add("class weight 0 keeps the smoothing term of the row", x, [[0, 1], [1, 2]], {"axis": 1, "classWeight": [1, 0, 2], "labelSmoothing": 0.25})


def terms(book):
    """z-loss, focal, poly-1 and the logit scale, alone and together."""
    options = [{"zLoss": 0.001}, {"zLoss": 0.25}, {"focalGamma": 0.5}, {"focalGamma": 1.0}, {"focalGamma": 2.0}, {"focalGamma": 2.5}, {"poly1Epsilon": -1.0},
               {"poly1Epsilon": 0.5}, {"poly1Epsilon": 2.0}, {"logitScale": 0.5}, {"logitScale": 2.0}, {"logitScale": 0.7}, {"focalGamma": 2.0, "poly1Epsilon": -0.5},
               {"zLoss": 0.01, "logitScale": 2.0}, {"zLoss": 0.01, "focalGamma": 1.5}]
    around = [("alone", {}), ("class weights smoothing class", {"classWeight": V3, "labelSmoothing": 0.1}),
              ("class weights smoothing row ignore", {"classWeight": V3, "labelSmoothing": 0.1, "smoothingWeights": "row", "ignoreIndex": -1})]
    for at, term in enumerate(options):
        for turn, (said, more) in enumerate(around):
            seed = 300 + 10 * at + turn
            dtype = DTYPES[(at + turn) % 4]
            fact = " ".join(f"{key} {value}" for key, value in term.items())
            labels = drawn_labels((2, 2), 3, seed, -1 if "ignoreIndex" in more else None)
            reduction = ("none", "mean", "sum")[(at + turn) % 3]
            book.add(f"{fact} {said} {reduction} {dtype}", painted(dtype, (2, 3, 2), seed), labels, {"axis": 1, "reduction": reduction} | term | more)
    x, y = painted("f32", (3, 4), 490), drawn_labels((3,), 4, 490)
    for mode in ("class", "row"):
        book.add(f"smoothing {mode} 1 with class weights", x, y, {"labelSmoothing": 1.0, "smoothingWeights": mode, "classWeight": V4, "reduction": "none"})
    book.add("focalGamma 3 as alpha-balanced: class weights over valid rows", x, y, {"focalGamma": 3.0, "classWeight": V4, "denominator": "valid"})


def upstreams(book):
    """The upstream gradient multiplies grad, not loss."""
    x, y = painted("f32", (4, 4), 500), drawn_labels((4,), 4, 500, -100)
    for reduction, upstream in (("mean", 2.5), ("sum", -0.5), ("mean", 0.0), ("none", 3.0), ("mean", 1024.0)):
        book.add(f"scalar upstream {upstream} {reduction}", x, y, {"ignoreIndex": -100, "reduction": reduction, "upstream": upstream})
    for at, dtype in enumerate(DTYPES):
        book.add(f"per-row upstream with 0 and a negative {dtype}", painted(dtype, (4, 3), 510 + at), drawn_labels((4,), 3, 510 + at),
                 {"reduction": "none", "upstream": [1, 0, -2, 0.125], "classWeight": V3})
    book.add("per-row upstream of class planes in f64", painted("f32", (2, 3, 2), 520), drawn_labels((2, 2), 3, 520),
             {"axis": 1, "reduction": "none", "upstream": {"dtype": "f64", "shape": [2, 2], "values": [1, 2, -1, 0.5]}})


def labels(book):
    """Every label dtype, and what ignoreIndex means at its ends."""
    x = painted("f32", (4, 5), 600)
    for dtype in ("u8", "i8", "u16", "i16", "i32", "u32", "i64", "u64", "f32", "f64"):
        book.add(f"labels in {dtype}", x, [4, 0, 3, 1], {"reduction": "none"}, label_dtype=dtype)
    for dtype, ignored in (("u8", 255), ("i8", -128), ("u16", 65535), ("i16", -1), ("i32", -2 ** 31), ("u32", 2 ** 32 - 1), ("i64", -2 ** 62), ("u64", 2 ** 64 - 1), ("f32", -1), ("f64", 255)):
        book.add(f"ignoreIndex {ignored} of {dtype} labels", x, [4, ignored, ignored, 1], {"ignoreIndex": ignored}, label_dtype=dtype)
    book.add("ignoreIndex that u8 labels cannot hold never matches", x, [4, 0, 3, 1], {"ignoreIndex": -100}, label_dtype="u8")
    book.add("ignoreIndex 256 is not u8 label 0", x, [4, 0, 3, 1], {"ignoreIndex": 256}, label_dtype="u8")
    book.add("ignoreIndex 2^32 of i64 labels is not label 0", x, [2 ** 32, 0, 3, 1], {"ignoreIndex": 2 ** 32}, label_dtype="i64")
    book.add("ignoreIndex 2 of 5 classes", x, [4, 2, 3, 2], {"ignoreIndex": 2})
    book.add("ignoreIndex 0 with class weights", x, [0, 2, 3, 0], {"ignoreIndex": 0, "classWeight": [9, 1, 0.5, 2, 1]})
    book.add("list of three ignoreIndex values", x, [-1, 0, 255, 1], {"ignoreIndex": [-1, 255, 0]})
    book.add("labels shape [N,1]", x, [4, 0, 3, 1], {"ignoreIndex": 3}, labels_shape=[4, 1])
    book.add("labels shape [N,1,d1] with axis 1", painted("f32", (2, 3, 2), 610), drawn_labels((2, 2), 3, 610), {"axis": 1}, labels_shape=[2, 1, 2])
    judged = np.array([4, -100, -100, 1])
    for dtype, bad in (("i32", [5, -1]), ("i64", [2 ** 32, -2 ** 40]), ("u64", [2 ** 64 - 1, 5])):
        expect = torch_results(x, judged, {"ignoreIndex": -100})
        book.put(f"invalidLabel ignore skips {bad[0]} and {bad[1]} of {dtype}", x, [4, *bad, 1], {"invalidLabel": "ignore"}, expect, label_dtype=dtype)


def axes(book):
    """The class axis at every place; the row order is outer, then inner."""
    for axis, shape in itertools.product((0, 1, 2, -1, -2, -3), ((3, 4, 2),)):
        rows = tuple(np.delete(shape, axis % 3))
        book.add(f"axis {axis} of shape {list(shape)}", painted("f32", shape, 700 + axis), drawn_labels(rows, shape[axis], 700 + axis), {"axis": axis, "labelSmoothing": 0.125})
    for axis in (0, 2, -1):
        shape = (2, 3, 2, 2)
        book.add(f"axis {axis} of shape {list(shape)} none per-row upstream", painted("f64", shape, 710 + axis), drawn_labels(tuple(np.delete(shape, axis % 4)), shape[axis], 710 + axis),
                 {"axis": axis, "reduction": "none", "upstream": [1 + k / 4 for k in range(24 // shape[axis])]})
    book.add("rank 1: one row without a batch", painted("f32", (5,), 720), np.array(3, object), {"axis": 0})
    book.add("axis 1 of rank 5", painted("f32", (1, 3, 2, 1, 2), 721), drawn_labels((1, 2, 1, 2), 3, 721), {"axis": 1})


def edges(book):
    """No rows, one class, nothing to average, non-finite logits."""
    nan, inf = math.nan, math.inf
    for reduction in ("none", "sum", "mean"):
        book.add(f"no rows {reduction}", Logits("f32", np.zeros((0, 3))), np.zeros((0,), object), {"reduction": reduction, "emptyMean": "nan"})
    x = painted("f32", (3, 3), 800)
    book.add("all rows ignored emptyMean nan", x, [-100] * 3, {"ignoreIndex": -100, "emptyMean": "nan"})
    book.add("all rows ignored sum", x, [-100] * 3, {"ignoreIndex": -100, "reduction": "sum"})
    book.add("weights sum to 0 emptyMean nan", x, [0, 1, -100], {"ignoreIndex": -100, "emptyMean": "nan", "classWeight": [0, 0, 1]})
    book.add("NaN logit poisons its own row only", Logits("f32", [[1, nan, 0], [1, 2, 0], [0.5, 0, 3]]), [0, 1, 2], {"reduction": "none"})
    book.add("+inf at the target and elsewhere", Logits("f32", [[inf, 0, 1], [inf, 0, 1], [0.5, 0, 3]]), [0, 1, 2], {"reduction": "none"})
    book.add("-inf off the target is a class without probability", Logits("f32", [[1, -inf, 0], [-inf, -inf, 0.5]]), [0, 2], {"reduction": "none"})
    book.add("-inf at the target", Logits("f32", [[1, -inf, 0], [2, 0, -inf]]), [1, 2], {"reduction": "none"})
    book.add("-inf everywhere", Logits("f32", [[-inf, -inf, -inf], [2, 0, 1]]), [1, 2], {"reduction": "none"})
    book.add("-inf off the target with smoothing", Logits("f32", [[1, -inf, 0], [2, 0, 1]]), [0, 2], {"reduction": "none", "labelSmoothing": 0.25})
    book.add("equal logits", Logits("f32", np.full((2, 7), 3.5)), [0, 6], {"reduction": "none"})
    book.add("equal logits, 5 classes, f16", Logits("f16", np.full((1, 5), -2.0)), [3], {})


def log_probs(book):
    """F.nll_loss: the input is taken as log-probabilities."""
    for at, (dtype, reduction) in enumerate(itertools.product(("f32", "f64"), ("mean", "sum", "none"))):
        x = Logits(dtype, np.log(np.random.default_rng(900 + at).dirichlet(np.ones(4), 3)))
        book.add(f"nll_loss {reduction} weights ignore {dtype}", x, drawn_labels((3,), 4, 900 + at, -100), {"input": "logProbs", "reduction": reduction, "classWeight": V4, "ignoreIndex": -100})
    x, y = painted("f32", (2, 3, 2), 910), drawn_labels((2, 2), 3, 910)
    book.add("nll_loss axis 1 mean of unnormalised values", x, y, {"input": "logProbs", "axis": 1})
    book.add("nll_loss sample weights per-row upstream", x, y, {"input": "logProbs", "axis": 1, "reduction": "none", "sampleWeight": [1, 2, 0.5, 0], "upstream": [1, -1, 2, 3]})
    for mode in ("class", "row"):
        book.add(f"nll_loss smoothing {mode} class weights", x, y, {"input": "logProbs", "axis": 1, "labelSmoothing": 0.25, "smoothingWeights": mode, "classWeight": V3})


def outputs(book):
    """logSumExp, targetLogProb and predictions from the same pass."""
    every = ["logSumExp", "targetLogProb", "predictions"]
    for at, dtype in enumerate(DTYPES):
        book.add(f"outputs of every row {dtype}", painted(dtype, (4, 5), 1100 + at), drawn_labels((4,), 5, 1100 + at, -100), {"ignoreIndex": -100, "outputs": every})
    book.add("outputs of class planes", painted("f32", (2, 3, 2), 1110), drawn_labels((2, 2), 3, 1110), {"axis": 1, "outputs": every, "logitScale": 0.5, "labelSmoothing": 0.1})
    book.add("first maximum wins a tie", Logits("f32", [[1, 3, 3, 0], [2, 2, 2, 2], [0, 1, 0, 1]]), [1, 3, 3], {"outputs": ["predictions"]})
    book.add("an inactive row still has outputs", painted("f32", (3, 4), 1111), drawn_labels((3,), 4, 1111), {"sampleWeight": [1, 0, 1], "outputs": every})


def sums_per_class(book):
    """perClass: sums over the rows of each label."""
    every = {"outputs": ["perClass"]}
    for at, dtype in enumerate(DTYPES):
        book.add(f"per class {dtype}", painted(dtype, (7, 4), 1300 + at), drawn_labels((7,), 4, 1300 + at, -100), {"ignoreIndex": -100} | every)
    weighted = {"classWeight": V3, "sampleWeight": [1, 0.5, 0, 2, 0.25, 3, 1, 0], "ignoreIndex": 255}
    for at, (reduction, smoothing) in enumerate(itertools.product(("none", "mean"), (0, 0.125))):
        x, y = painted(DTYPES[at % 2], (2, 3, 4), 1310 + at), drawn_labels((2, 4), 3, 1310 + at, 255)
        book.add(f"per class weights of both kinds smoothing {smoothing} {reduction} axis 1", x, y, {"axis": 1, "reduction": reduction, "labelSmoothing": smoothing} | weighted | every, label_dtype="u8")
    book.add("per class focal z-loss sum", painted("f32", (5, 3), 1320), [2, 2, 1, 2, 1], {"reduction": "sum", "focalGamma": 2.0, "zLoss": 0.01} | every)
    book.add("per class a NaN row spoils its own label only", Logits("f32", [[1, math.nan, 0], [1, 2, 0], [0.5, 0, 3]]), [0, 1, 2], every)
    # 300 rows: more than one block of rows, and labels that a block lacks.
    x, y = painted("f32", (300, 2), 1321), np.array([0 if at < 256 else 1 for at in range(300)], object)
    expect = torch_results(x, y, {"reduction": "sum"} | every)
    book.put("per class over 300 rows in order of their labels", x, y, {"reduction": "sum"} | every, {key: expect[key] for key in ("loss", "perClass")})


def accumulating(book):
    """x.grad holds a gradient before backward(), which adds to it."""
    ignoring = {"ignoreIndex": -100}
    for at, dtype in enumerate(DTYPES):
        before = painted(dtype, (4, 4), 1400 + at, reach=1.0)
        book.add(f"added to a gradient {dtype}", painted(dtype, (4, 4), 1410 + at), drawn_labels((4,), 4, 1410 + at, -100), {"classWeight": V4, "labelSmoothing": 0.125} | ignoring, before)
        before = drawn(dtype, (1, 19), 1420 + at, 0.5)
        book.add(f"added to a gradient of full mantissas none {dtype}", drawn(dtype, (1, 19), 1430 + at), [7], {"reduction": "none", "upstream": -1.5}, before)
        before = painted(dtype, (1, 3, 5), 1440 + at, reach=1.0)
        book.add(f"added to a gradient of class planes sum {dtype}", painted(dtype, (1, 3, 5), 1450 + at), drawn_labels((1, 5), 3, 1450 + at, -100), {"axis": 1, "reduction": "sum", "focalGamma": 2.0, "zLoss": 0.01} | ignoring, before)
    x, before = painted("f32", (3, 4), 1460), painted("f32", (3, 4), 1461, reach=1.0)
    book.add("added to a gradient by every row's own upstream", x, [3, 0, 1], {"reduction": "none", "upstream": [2, 0, -1]}, before)
    book.add("added to a gradient with weights of both kinds", x, [3, 0, 1], {"classWeight": V4, "sampleWeight": [2, 0, 0.5]}, before)
    book.add("added to a gradient, all rows ignored", x, [-100] * 3, ignoring | {"emptyMean": "nan"}, before)


def masks_and_matrices(book):
    """classMask: PyTorch sees the kept columns only. labelMatrix: PyTorch's class probabilities as targets."""
    mask = [1, 0, 1, 1, 0]
    kept = np.flatnonzero(mask)
    for at, options in enumerate(({"reduction": "none"}, {"labelSmoothing": 0.2}, {"labelSmoothing": 0.2, "classWeight": [1, 9, 0.5, 2, 9]}, {"zLoss": 0.01, "reduction": "sum"},
                                  {"focalGamma": 2.0, "labelSmoothing": 0.1, "smoothingWeights": "row", "sampleWeight": [1, 0.5, 2]})):
        x, picks = painted(DTYPES[at % 2], (3, 5), 1200 + at), drawn_labels((3,), 3, 1200 + at)
        inner = dict(options)
        if "classWeight" in inner:
            inner["classWeight"] = [inner["classWeight"][k] for k in kept]
        expect = torch_results(Logits(x.dtype, x.values[:, kept]), picks, inner)
        grad = np.zeros((3, 5))
        grad[:, kept] = expect["grad"]
        fact = " ".join(f"{key} {value}" for key, value in options.items() if key not in ("classWeight", "sampleWeight"))
        book.put(f"classMask equals the kept columns, {fact}{' class weights' if 'classWeight' in options else ''}", x, [int(kept[p]) for p in picks], options | {"classMask": mask},
                 expect | {"grad": grad})
    matrix = {"dtype": "f64", "shape": [3, 3], "values": [0.5, 0.25, 0.25, 0, 1, 0, 0.125, 0.125, 2]}
    for at, (reduction, more) in enumerate((("none", {}), ("sum", {"sampleWeight": [1, 2, 0.5]}), ("mean", {}))):
        x, y = painted(DTYPES[at % 2], (3, 3), 1250 + at), drawn_labels((3,), 3, 1250 + at)
        z = torch.tensor(x.values, requires_grad=True)
        each = F.cross_entropy(z, torch.tensor(numbers(matrix).reshape(3, 3)[[int(k) for k in y]]), reduction="none") * torch.tensor(per_row(more.get("sampleWeight", 1.0), (3,)))
        loss = each if reduction == "none" else each.sum() if reduction == "sum" else each.mean()
        loss.backward(torch.ones(3, dtype=torch.float64) if reduction == "none" else None)
        book.put(f"labelMatrix {reduction} equals class probabilities", x, y, {"labelMatrix": matrix, "reduction": reduction} | more, {"loss": loss.detach().numpy(), "grad": z.grad.numpy()})


def make():
    book = Book()
    for part in (grid, dtypes, sample_weights, terms, upstreams, labels, axes, edges, log_probs, outputs, sums_per_class, accumulating, masks_and_matrices):
        part(book)
    cases.write("torch", {"torch": torch.__version__.split("+")[0], "numpy": np.__version__}, book.cases)


if __name__ == "__main__":
    make()
