"""Golden cases from TensorFlow 2.21.0 (CPU kernels, XLA on CPU, tf.compat.v1), numpy 2.4.6. Writes tensorflow.json.

TensorFlow computes in f64 from the widened inputs; `grad` is the op's own backprop (GradientTape through the op), times the upstream row by row.
"""
import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import tensorflow as tf

import cases
from cases import Logits, drawn, drawn_labels, painted
from definition import filled, per_row

PRESET = {"reduction": "none"}
LABEL_TYPES = {"u8": tf.int32, "i8": tf.int32, "u16": tf.int32, "i16": tf.int32, "i32": tf.int32, "i64": tf.int64}
DTYPES = ("f32", "f64", "f16", "bf16")
V1_TOLERANCE = 1e-6


def op(logits, labels, upstream=1.0, label_dtype="i32", xla=False):
    """tf.nn.sparse_softmax_cross_entropy_with_logits: loss per row and backprop."""
    x = tf.constant(logits.values, tf.float64)
    y = tf.constant(np.asarray(labels, np.int64), LABEL_TYPES[label_dtype])

    @tf.function(jit_compile=xla)
    def both(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            loss = tf.nn.sparse_softmax_cross_entropy_with_logits(labels=y, logits=x)
        return loss, tape.gradient(loss, x, output_gradients=tf.constant(per_row(upstream, y.shape).reshape(y.shape)))

    loss, grad = both(x)
    return {"loss": loss.numpy(), "grad": grad.numpy()}


def v1(logits, labels, sample_weight, reduction):
    """tf.compat.v1.losses.sparse_softmax_cross_entropy, which reduces in f32 whatever the dtype of the logits."""
    x = tf.constant(logits.values, tf.float64)
    with tf.GradientTape() as tape:
        tape.watch(x)
        loss = tf.compat.v1.losses.sparse_softmax_cross_entropy(np.asarray(labels, np.int64), x, weights=tf.constant(sample_weight, tf.float64), reduction=reduction)
        target = tf.reduce_sum(loss)
    return {"loss": loss.numpy(), "grad": tape.gradient(target, x).numpy()}


class Book:
    """The list of cases, one call for each."""

    def __init__(self):
        self.cases = []

    def add(self, name, logits, labels, options=None, xla=False, **more):
        options = PRESET | (options or {})
        expect = op(logits, labels, filled(options)["upstream"], more.get("label_dtype", "i32"), xla)
        self.put(name, logits, labels, options, expect, **more)

    def add_to(self, name, logits, labels, options, before):
        """backprop, times the upstream row by row, assigned on top of a gradient that is there."""
        expect = op(logits, labels, filled(PRESET | options)["upstream"])
        total = tf.Variable(before.values)
        total.assign_add(expect["grad"])
        self.put(name, logits, labels, PRESET | options, expect | {"grad": total.numpy()}, previous=before)

    def put(self, name, logits, labels, options, expect, **more):
        self.cases.append(cases.case(name, "tensorflow", logits, labels, options, expect, **more))


def kernels(book):
    """The op itself: ranks, dtypes, labels, upstream."""
    for at, dtype in enumerate(DTYPES):
        book.add(f"op rank 2 {dtype}", painted(dtype, (3, 4), 2000 + at), drawn_labels((3,), 4, 2000 + at))
        book.add(f"op rank 3 {dtype}", painted(dtype, (2, 2, 5), 2010 + at), drawn_labels((2, 2), 5, 2010 + at))
        book.add(f"op 37 classes full mantissas {dtype}", drawn(dtype, (2, 37), 2020 + at), drawn_labels((2,), 37, 2020 + at))
        book.add(f"op upstream per row {dtype}", painted(dtype, (4, 3), 2030 + at), drawn_labels((4,), 3, 2030 + at), {"upstream": [1, 0.25, -3, 2]})
    for dtype in LABEL_TYPES:
        book.add(f"op labels in {dtype}", painted("f32", (3, 6), 2040), [5, 0, 3], label_dtype=dtype)
    book.add("op rank 4", painted("f32", (1, 2, 2, 3), 2050), drawn_labels((1, 2, 2), 3, 2050), {"upstream": [1, 2, 3, 4]})
    book.add("op labels shape [N,1]", painted("f32", (3, 4), 2051), [1, 0, 3], labels_shape=[3, 1])
    book.add("op the same upstream for every row", painted("f32", (3, 4), 2052), [1, 0, 3], {"upstream": -0.5})
    book.add("op one class", Logits("f32", [[3.0], [-8.0]]), [0, 0])
    book.add("op 2 classes is the logistic loss", Logits("f32", [[0, 3], [0, -3]]), [1, 1])


def added(book):
    """A gradient that is added to, and sums by label."""
    for at, dtype in enumerate(DTYPES):
        before = painted(dtype, (4, 3), 2210 + at, reach=1.0)
        book.add_to(f"op added to a gradient, upstream per row {dtype}", painted(dtype, (4, 3), 2200 + at), drawn_labels((4,), 3, 2200 + at), {"upstream": [1, 0.25, -3, 2]}, before)
    for at, dtype in enumerate(("f32", "f64")):
        x, y = painted(dtype, (2, 5, 4), 2220 + at), drawn_labels((2, 5), 3, 2220 + at)
        expect, flat = op(x, y), tf.constant(np.asarray(y, np.int64).reshape(-1))
        hits = tf.equal(tf.argmax(tf.constant(x.values), -1), tf.reshape(flat, (2, 5)))
        by_label = lambda values: tf.math.unsorted_segment_sum(tf.reshape(tf.cast(values, tf.float64), (-1,)), flat, 4).numpy()
        ones = by_label(tf.ones(10))
        expect["perClass"] = {"loss": by_label(expect["loss"]), "weight": ones, "count": ones, "correct": by_label(hits)}
        book.put(f"op losses summed by label {dtype}", x, y, PRESET | {"outputs": ["perClass"]}, expect)


def special(book):
    """Non-finite logits, and labels out of range under XLA."""
    nan, inf = np.nan, np.inf
    rows = {
        "NaN logit": [[nan, 2, 3], [1, 2, 3]], "+inf at the target": [[2, inf, 3], [1, 2, 3]], "+inf off the target": [[2, 3, inf], [1, 2, 3]],
        "-inf off the target": [[-inf, 2, 3], [1, 2, 3]], "-inf at the target": [[2, -inf, 3], [1, 2, 3]], "-inf everywhere": [[-inf] * 3, [1, 2, 3]],
        "two +inf": [[inf, inf, 3], [1, 2, 3]], "only the target is finite": [[-inf, 5, -inf], [1, 2, 3]],
    }
    for fact, values in rows.items():
        for dtype in ("f32", "f64"):
            book.add(f"op {fact} {dtype}", Logits(dtype, values), [1, 0])
    book.add("op 3e38 against -3e38 in f64", Logits("f64", [[3e38, -3e38, 0]]), [1])
    book.add("op two logits of 1e38", Logits("f32", [[1e38, 1e38, 0]]), [0])
    x = painted("f32", (4, 3), 2060)
    book.add("xla label C and label -1 are NaN rows", x, [3, 1, -1, 0], {"invalidLabel": "nan"}, xla=True)
    book.add("xla label far out of range is a NaN row", x, [2 ** 31 - 1, 1, -2 ** 31, 0], {"invalidLabel": "nan", "upstream": [1, 2, 3, 4]}, xla=True)
    book.add("xla valid labels under invalidLabel nan", x, [2, 1, 1, 0], {"invalidLabel": "nan"}, xla=True)


def version_one(book):
    """tf.compat.v1.losses: SUM_BY_NONZERO_WEIGHTS and its neighbours."""
    reduction = tf.compat.v1.losses.Reduction
    weights = {"some 0": [0.0, 2, 1, 0.5], "all 1": [1.0] * 4, "all 0": [0.0] * 4, "one left": [0, 0, 0, 3.0], "a negative one": [1.0, -0.5, 0, 2]}
    for at, (fact, w) in enumerate(weights.items()):
        x, y = painted(("f32", "f64")[at % 2], (4, 4), 2100 + at), drawn_labels((4,), 4, 2100 + at)
        book.put(f"v1 mean by nonzero weights, {fact}", x, y, {"sampleWeight": w, "denominator": "nonzero"}, v1(x, y, w, reduction.SUM_BY_NONZERO_WEIGHTS), tolerance=V1_TOLERANCE)
        if fact == "some 0":
            book.put("v1 sum", x, y, {"sampleWeight": w, "reduction": "sum"}, v1(x, y, w, reduction.SUM), tolerance=V1_TOLERANCE)
            book.put("v1 mean over the sum of weights", x, y, {"sampleWeight": w}, v1(x, y, w, reduction.MEAN), tolerance=V1_TOLERANCE)
            book.put("v1 mean over the batch", x, y, {"sampleWeight": w, "denominator": "all"}, v1(x, y, w, reduction.SUM_OVER_BATCH_SIZE), tolerance=V1_TOLERANCE)
            book.put("v1 none", x, y, {"sampleWeight": w, "reduction": "none"}, v1(x, y, w, reduction.NONE), tolerance=V1_TOLERANCE)


def make():
    book = Book()
    for part in (kernels, added, special, version_one):
        part(book)
    cases.write("tensorflow", {"tensorflow": tf.__version__, "numpy": np.__version__}, book.cases)


if __name__ == "__main__":
    make()
