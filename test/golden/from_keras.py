"""Golden cases from Keras 3.15.1 on TensorFlow 2.21.0 (CPU), numpy 2.4.6. Writes keras.json.

Everything in f64 (`floatx`). Sparse losses as they are; smoothing and focal from the dense losses on one-hot labels, which is what `row` smoothing and
`focalGamma` are defined by; `class_weight` through the function that `fit` uses.
"""
import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ["KERAS_BACKEND"] = "tensorflow"

import itertools

import keras
import numpy as np
import tensorflow as tf
from keras.src.trainers.data_adapters.data_adapter_utils import class_weight_to_sample_weights

import cases
from cases import Logits, drawn, drawn_labels, painted

keras.config.set_floatx("float64")
# Keras reductions as options. `sum_over_batch_size` divides by the rows that are not ignored.
REDUCTIONS = {
    "sum_over_batch_size": {"denominator": "valid"}, "mean_with_sample_weight": {"denominator": "weights"}, "sum": {"reduction": "sum"}, None: {"reduction": "none"},
}
DTYPES = ("f32", "f64", "f16", "bf16")
CLASS_WEIGHT = [1.0, 0.5, 2.0, 0.25]


def keras_results(loss, targets, logits, sample_weight=None):
    """A Keras loss and its gradient by the predictions."""
    x = tf.constant(logits.values, tf.float64)
    weight = None if sample_weight is None else tf.constant(sample_weight, tf.float64)
    with tf.GradientTape() as tape:
        tape.watch(x)
        value = loss(tf.constant(targets), x, sample_weight=weight)
        total = tf.reduce_sum(value)
    grad = tape.gradient(total, x)
    return {"loss": value.numpy(), "grad": grad.numpy()}


def one_hot(labels, classes):
    return np.eye(classes)[np.asarray(labels, np.int64)]


def sparse(logits, labels, reduction, ignore=None, sample_weight=None, from_logits=True):
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=from_logits, ignore_class=ignore, reduction=reduction, dtype="float64")
    return keras_results(loss, np.asarray(labels, np.int64), logits, sample_weight)


class Book:
    """The list of cases, one call for each."""

    def __init__(self):
        self.cases = []

    def put(self, name, logits, labels, options, expect, **more):
        self.cases.append(cases.case(name, "keras", logits, labels, options, expect, **more))


def grid(book):
    """SparseCategoricalCrossentropy(from_logits=True): reduction x ignore_class x sample_weight x rank."""
    layouts = {"[N,C]": (3, 4), "[B,T,C]": (2, 2, 4)}
    turn = 0
    for (layout, shape), reduction, ignore, weights in itertools.product(layouts.items(), REDUCTIONS, (None, -1, 2), (False, True)):
        seed, dtype = 3000 + turn, DTYPES[(turn + turn // 4) % 4]
        turn += 1
        rows = shape[:-1]
        labels = drawn_labels(rows, 4, seed, ignore)
        w = np.array([0.5, 2.0, 1.0, 0.0])[: np.prod(rows)].reshape(rows) if weights else None
        options = dict(REDUCTIONS[reduction])
        if ignore is not None:
            options["ignoreIndex"] = ignore
        if weights:
            options["sampleWeight"] = [float(v) for v in w.reshape(-1)]
        x = painted(dtype, shape, seed)
        said = f"{reduction}{'' if ignore is None else f' ignore_class {ignore}'}{' sample_weight' if weights else ''} {layout} {dtype}"
        book.put(said, x, labels, options, sparse(x, labels, reduction, ignore, w))


def nothing_left(book):
    """All rows ignored, or of weight 0: Keras divides without NaN."""
    x = painted("f32", (2, 4), 3100)
    book.put("all rows ignored", x, [-1, -1], {"denominator": "valid", "ignoreIndex": -1}, sparse(x, [-1, -1], "sum_over_batch_size", -1))
    book.put("all weights 0 mean_with_sample_weight", x, [1, 2], {"sampleWeight": [0, 0]}, sparse(x, [1, 2], "mean_with_sample_weight", None, [0.0, 0.0]))
    book.put("all weights 0 sum_over_batch_size", x, [1, 2], {"sampleWeight": [0, 0], "denominator": "valid"}, sparse(x, [1, 2], "sum_over_batch_size", None, [0.0, 0.0]))
    book.put("weights cancel mean_with_sample_weight", x, [1, 2], {"sampleWeight": [1, -1]}, sparse(x, [1, 2], "mean_with_sample_weight", None, [1.0, -1.0]))


def class_weights(book):
    """class_weight of `fit`: Keras turns it into sample weights."""
    for at, (reduction, dtype) in enumerate(itertools.product(("sum_over_batch_size", "mean_with_sample_weight", "sum"), ("f32", "f64"))):
        x, y = painted(dtype, (4, 4), 3200 + at), drawn_labels((4,), 4, 3200 + at)
        w = class_weight_to_sample_weights(np.asarray(y, np.int64), dict(enumerate(CLASS_WEIGHT)))
        book.put(f"fit class_weight {reduction} {dtype}", x, y, REDUCTIONS[reduction] | {"classWeight": CLASS_WEIGHT}, sparse(x, y, reduction, None, np.asarray(w, np.float64)))
    x, y = painted("f32", (4, 4), 3210), drawn_labels((4,), 4, 3210)
    w = class_weight_to_sample_weights(np.asarray(y, np.int64), {0: 3.0, 2: 0.5})
    book.put("fit class_weight with classes left out", x, y, {"denominator": "valid", "classWeight": {"0": 3, "2": 0.5}}, sparse(x, y, "sum_over_batch_size", None, np.asarray(w, np.float64)))


def smoothing(book):
    """CategoricalCrossentropy(label_smoothing) on one-hot labels is `row` smoothing."""
    for at, (epsilon, reduction) in enumerate(itertools.product((0.1, 0.5, 1.0), REDUCTIONS)):
        dtype = DTYPES[at % 4]
        loss = keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=epsilon, reduction=reduction, dtype="float64")
        x, y = painted(dtype, (3, 5), 3300 + at), drawn_labels((3,), 5, 3300 + at)
        options = REDUCTIONS[reduction] | {"labelSmoothing": epsilon, "smoothingWeights": "row"}
        book.put(f"dense label_smoothing {epsilon} {reduction} {dtype}", x, y, options, keras_results(loss, one_hot(y, 5), x))
        if epsilon == 0.1:
            w = [1.0, 0.25, 3.0]
            book.put(f"dense label_smoothing {epsilon} {reduction} sample_weight {dtype}", x, y, options | {"sampleWeight": w}, keras_results(loss, one_hot(y, 5), x, w))
    loss = keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=0.1, axis=1, reduction="sum_over_batch_size", dtype="float64")
    # Keras counts the classes on the last dimension whatever the axis, so the two have to be equal here.
    x, y = painted("f32", (2, 3, 3), 3330), drawn_labels((2, 3), 3, 3330)
    book.put("dense label_smoothing axis 1", x, y, {"axis": 1, "labelSmoothing": 0.1, "smoothingWeights": "row", "denominator": "valid"},
             keras_results(loss, np.moveaxis(one_hot(y, 3), -1, 1), x))


def focal(book):
    """CategoricalFocalCrossentropy on one-hot labels, alpha 1, and alpha by class as class weights."""
    for at, (gamma, reduction) in enumerate(itertools.product((0.5, 1.0, 2.0, 3.5), ("sum_over_batch_size", None))):
        dtype = DTYPES[at % 4]
        loss = keras.losses.CategoricalFocalCrossentropy(alpha=1.0, gamma=gamma, from_logits=True, reduction=reduction, dtype="float64")
        x, y = painted(dtype, (3, 4), 3400 + at, reach=2.0), drawn_labels((3,), 4, 3400 + at)
        book.put(f"dense focal gamma {gamma} {reduction} {dtype}", x, y, REDUCTIONS[reduction] | {"focalGamma": gamma}, keras_results(loss, one_hot(y, 4), x))
    loss = keras.losses.CategoricalFocalCrossentropy(alpha=CLASS_WEIGHT, gamma=2.0, from_logits=True, dtype="float64")
    x, y = painted("f32", (4, 4), 3420, reach=2.0), drawn_labels((4,), 4, 3420)
    book.put("dense focal alpha by class", x, y, {"focalGamma": 2.0, "classWeight": CLASS_WEIGHT, "denominator": "valid"}, keras_results(loss, one_hot(y, 4), x))


def probabilities(book):
    """from_logits=False on TensorFlow clips, takes logs and normalises again: `after`. The dense loss divides first: `before`."""
    confident = [[0.7, 0.2, 0.1], [0.0, 1.0, 0.0], [0.25, 0.25, 0.5], [1e-9, 0.5, 0.5]]
    loose = [[0.5, 0.25, 0.125], [0.75, 0.5, 0.25], [0.9, 0.9, 0.9], [0.125, 0.0, 0.125]]
    labels = [0, 1, 2, 0]
    dense = keras.losses.CategoricalCrossentropy(from_logits=False, reduction=None, dtype="float64")
    for fact, values in (("normalised", confident), ("not normalised", loose)):
        for dtype in ("f32", "f64"):
            x = Logits(dtype, values)
            for reduction in (None, "sum_over_batch_size"):
                book.put(f"probabilities {fact} {reduction} {dtype}", x, labels, REDUCTIONS[reduction] | {"input": "probs", "probsNormalize": "after"},
                         sparse(x, labels, reduction, from_logits=False), tolerance=1e-9)
            book.put(f"dense probabilities {fact} {dtype}", x, labels, {"input": "probs", "probsNormalize": "before", "reduction": "none"},
                     keras_results(dense, one_hot(labels, 3), x), tolerance=1e-9)
    x = Logits("f32", confident)
    book.put("probabilities ignore_class class weights", x, [0, 1, -1, 2], {"input": "probs", "probsNormalize": "after", "ignoreIndex": -1, "denominator": "valid", "sampleWeight": [1, 2, 1, 0.5]},
             sparse(x, [0, 1, -1, 2], "sum_over_batch_size", -1, [1.0, 2.0, 1.0, 0.5], from_logits=False), tolerance=1e-9)


def shapes(book):
    """Image rank, many classes, labels with a trailing 1."""
    x, y = painted("f32", (1, 2, 2, 3), 3500), drawn_labels((1, 2, 2), 3, 3500)
    book.put("image maps channels last", x, y, {"denominator": "valid", "ignoreIndex": 255}, sparse(x, y, "sum_over_batch_size", 255), label_dtype="u8")
    x, y = drawn("f32", (2, 41), 3501), drawn_labels((2,), 41, 3501)
    book.put("41 classes full mantissas", x, y, {"denominator": "valid"}, sparse(x, y, "sum_over_batch_size"))
    x, y = painted("f32", (3, 4), 3502), drawn_labels((3,), 4, 3502)
    book.put("labels shape [N,1]", x, y, {"denominator": "valid"}, sparse(x, np.asarray(y, np.int64)[:, None], "sum_over_batch_size"), labels_shape=[3, 1])


def make():
    book = Book()
    for part in (grid, nothing_left, class_weights, smoothing, focal, probabilities, shapes):
        part(book)
    cases.write("keras", {"keras": keras.__version__, "tensorflow": tf.__version__, "numpy": np.__version__}, book.cases)


if __name__ == "__main__":
    make()
