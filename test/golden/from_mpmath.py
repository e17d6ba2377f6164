"""Golden cases from mpmath 1.3.0, numpy 2.4.6. Writes mpmath.json.

The textbook formula, -ln(exp(z_y) / Σ exp(z_k)) and what the options make of it, in 400-digit arithmetic; the gradient is a central difference of that
loss with a step of 1e-60, so no derivative is written down here. These are the cases in which f64 peers lose digits: confident rows, large offsets,
extreme magnitudes. Full precision is stored, so the tolerance is one rounding of f64.
"""
import mpmath
import numpy as np
from mpmath import mp, mpf

import cases
from cases import Logits
from definition import class_weights, filled, per_row

mp.dps = 400
STEP = mpf(10) ** -60
TOLERANCE = 2.0 ** -52


def row_loss(x, y, omega, v, o):
    """One row's weighted loss from the definition's words, digits to spare."""
    z = [mpf(o["logitScale"]) * xi for xi in x]
    total = mp.fsum(mp.exp(zi) for zi in z)
    minus_ln = [mp.log(total) - zi for zi in z]
    target = minus_ln[y]
    r = 1 - mp.exp(-target)
    f = (r ** mpf(o["focalGamma"]) if o["focalGamma"] else 1) * (target + mpf(o["poly1Epsilon"]) * r)
    eps, w = mpf(o["labelSmoothing"]), mpf(v[y]) * omega
    h = (1 - eps) * w * f + mpf(o["zLoss"]) * w * mp.log(total) ** 2
    if o["smoothingWeights"] == "class":
        return h + eps * omega * mp.fsum(mpf(vk) * lk for vk, lk in zip(v, minus_ln)) / len(x)
    return h + eps * w * mp.fsum(minus_ln) / len(x)


def results(logits, labels, options):
    o = filled(options)
    v = class_weights(o["classWeight"], logits.shape[1])
    omega = per_row(o["sampleWeight"], (len(labels),))
    upstream = per_row(o["upstream"], (len(labels),))
    d = sum(mpf(float(v[y])) * float(w) for y, w in zip(labels, omega)) if o["reduction"] == "mean" else mpf(1)
    losses, grads = [], []
    for x, y, w, g in zip(logits.values, labels, omega, upstream):
        exact = [mpf(float(xi)) for xi in x]
        at = lambda k, step: row_loss([xi + (step if i == k else 0) for i, xi in enumerate(exact)], y, mpf(float(w)), [float(vk) for vk in v], o)
        losses.append(row_loss(exact, y, mpf(float(w)), [float(vk) for vk in v], o))
        grads.append([float(mpf(float(g)) / d * (at(k, STEP) - at(k, -STEP)) / (2 * STEP)) for k in range(len(exact))])
    loss = [float(h) for h in losses] if o["reduction"] == "none" else float(mp.fsum(losses) / d)
    return {"loss": loss, "grad": np.array(grads)}


class Book:
    """The list of cases, one call for each."""

    def __init__(self):
        self.cases = []

    def add(self, name, dtype, rows, labels, options=None):
        logits, options = Logits(dtype, rows), {"reduction": "none"} | (options or {})
        self.cases.append(cases.case(name, "mpmath", logits, labels, options, results(logits, labels, options), tolerance=TOLERANCE, digits=None))


def confident(book):
    """The target wins by a margin: loss and 1 - p_y are about e^-margin and keep their digits."""
    for dtype, margins in (("f32", (5, 10, 17, 20, 30, 50, 80, 90)), ("f64", (10, 20, 36, 50, 90, 300, 700)), ("f16", (12, 20)), ("bf16", (12, 20))):
        for margin in margins:
            book.add(f"margin {margin} {dtype}", dtype, [[margin, 0, 0, -1]], [0])
    for dtype in ("f32", "f64"):
        book.add(f"margin 20 at every class of 5 {dtype}", dtype, [[20 if k == y else -k / 4 for k in range(5)] for y in range(5)], list(range(5)))
        book.add(f"margin -20, -50, -300: confidently wrong {dtype}", dtype, [[-t, 0, 0, -1] for t in (20, 50, 300)], [0, 0, 0])
        book.add(f"margin 20 beside 70 classes {dtype}", dtype, [[20] + [(k * 37 % 29) / 8 - 2 for k in range(69)]], [0])
        book.add(f"margin within one unit in the last place of 0 {dtype}", dtype, [[2 ** -20, 0, -2 ** -20], [0, 2 ** -23, 0]], [1, 1])


def confident_with_options(book):
    """Options on rows whose loss is tiny: each term keeps its own digits."""
    rows, labels = [[20, 0, 0.5, -1], [0.25, 12, 0, -3], [1, 0, 2, 30]], [0, 1, 3]
    weights = [1, 0.5, 2, 0.25]
    for fact, options in (
        ("class weights", {"classWeight": weights}), ("class weights mean", {"classWeight": weights, "reduction": "mean"}),
        ("smoothing class", {"labelSmoothing": 0.1, "classWeight": weights}), ("smoothing row", {"labelSmoothing": 0.1, "classWeight": weights, "smoothingWeights": "row"}),
        ("zLoss", {"zLoss": 0.001}), ("focalGamma 0.5", {"focalGamma": 0.5}), ("focalGamma 2", {"focalGamma": 2.0}), ("poly1Epsilon 2", {"poly1Epsilon": 2.0}),
        ("poly1Epsilon -1", {"poly1Epsilon": -1.0}), ("logitScale 2", {"logitScale": 2.0}), ("focalGamma 2 poly1Epsilon 1", {"focalGamma": 2.0, "poly1Epsilon": 1.0}),
        ("upstream and sample weights", {"upstream": [1, -2, 0.5], "sampleWeight": [1.5, 1, 0.25]}),
    ):
        for dtype in ("f32", "f64"):
            book.add(f"confident rows, {fact} {dtype}", dtype, rows, labels, options)


def offsets(book):
    """Only differences count: the loss of a row plus a constant is the loss of the rounded row."""
    for dtype, offset in (("f32", 1e2), ("f32", -1e4), ("f32", 1e6), ("f32", 1e8), ("f64", 1e4), ("f64", 1e8), ("f64", -1e12), ("f16", 512.0), ("bf16", 64.0)):
        book.add(f"offset {offset:g} {dtype}", dtype, (np.array([[2, -1, 0.5], [0, 1, 3]]) + offset), [0, 1])
    book.add("offset 1e6, smoothing and class weights f32", "f32", np.array([[2, -1, 0.5], [0, 1, 3]]) + 1e6, [0, 1], {"labelSmoothing": 0.1, "classWeight": [1, 2, 0.5]})
    book.add("offset 1e4, z-loss f32", "f32", np.array([[2, -1, 0.5], [0, 1, 3]]) + 1e4, [0, 1], {"zLoss": 1e-4})


def extremes(book):
    """The ends of each dtype."""
    book.add("3e38 against -3e38 f64", "f64", [[3e38, -3e38, 0]], [1])
    book.add("two logits of 1e38 f32", "f32", [[1e38, 1e38, 0]], [0])
    book.add("two logits of 1e300 f64", "f64", [[1e300, 1e300, 0]], [0])
    book.add("the largest f16 against its negative", "f16", [[65504, 65504, -65504]], [2])
    book.add("the largest bf16 twice", "bf16", [[3.3895313892515355e38, 3.3895313892515355e38, 0]], [1])
    book.add("subnormal logits f32", "f32", [[1e-40, 0, -1e-40], [2.0 ** -149, -2.0 ** -149, 0]], [0, 1])
    book.add("subnormal logits f16", "f16", [[2.0 ** -24, 0, -2.0 ** -24]], [0])
    book.add("subnormal logits f64", "f64", [[5e-324, 0, -5e-324]], [0])
    book.add("spread of 200 over 9 classes f32", "f32", [[25 * k - 100 for k in range(9)]], [4])
    book.add("spread of 1400 over 9 classes f64", "f64", [[175 * k - 700 for k in range(9)]], [4])
    book.add("rescaled row: a rival 85 above the target f32", "f32", [[0, 85, 84, -90], [0, 88.5, 88.5, 1]], [0, 0])


def make():
    book = Book()
    for part in (confident, confident_with_options, offsets, extremes):
        part(book)
    cases.write("mpmath", {"mpmath": mpmath.__version__, "numpy": np.__version__}, book.cases)


if __name__ == "__main__":
    make()
