"""Golden cases from optax 0.2.8 on JAX 0.10.2 (CPU), numpy 2.4.6. Writes optax.json.

Everything in f64 (`jax_enable_x64`), gradients by jax.grad or, for an upstream per row, jax.vjp.
"""
import os

os.environ["JAX_ENABLE_X64"] = "1"
os.environ.setdefault("JAX_PLATFORMS", "cpu")

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import optax
from optax import losses

import cases
from cases import Logits, drawn, drawn_labels, painted
from definition import filled, per_row

PRESET = {"reduction": "none", "invalidLabel": "nan"}
DTYPES = ("f32", "f64", "f16", "bf16")


def results(loss, logits, options):
    """Losses of `loss(x)` and their gradient under the options' upstream, sample weights, reduction and denominator."""
    o = filled(options)
    x = jnp.asarray(logits.values)

    def reduced(x):
        each = loss(x)
        weight = jnp.asarray(per_row(o["sampleWeight"], each.shape).reshape(each.shape))
        if o["reduction"] == "none":
            return each * weight
        total = jnp.sum(each * weight)
        return total if o["reduction"] == "sum" else total / {"weights": jnp.sum(weight), "all": each.size, "valid": each.size}[o["denominator"]]

    value, back = jax.vjp(reduced, x)
    upstream = jnp.asarray(per_row(o["upstream"], value.shape).reshape(value.shape)) if o["reduction"] == "none" else jnp.asarray(float(o["upstream"]))
    return {"loss": np.asarray(value), "grad": np.asarray(back(upstream)[0])}


def integer(labels, axis=-1, where=None):
    y = jnp.asarray(np.asarray(labels, np.int64))
    return lambda x: losses.softmax_cross_entropy_with_integer_labels(x, y, axis=axis, where=where)


def one_hot(labels, classes, axis=-1):
    return jax.nn.one_hot(jnp.asarray(np.asarray(labels, np.int64)), classes, axis=axis, dtype=jnp.float64)


class Book:
    """The list of cases, one call for each."""

    def __init__(self):
        self.cases = []

    def add(self, name, loss, logits, labels, options=None, **more):
        options = PRESET | (options or {})
        self.cases.append(cases.case(name, "optax", logits, labels, options, results(loss, logits, options), **more))


def integer_labels(book):
    """softmax_cross_entropy_with_integer_labels: dtypes, axes, upstream, reductions."""
    for at, dtype in enumerate(DTYPES):
        x, y = painted(dtype, (3, 4), 4000 + at), drawn_labels((3,), 4, 4000 + at)
        book.add(f"integer labels {dtype}", integer(y), x, y)
        book.add(f"integer labels mean {dtype}", integer(y), x, y, {"reduction": "mean"})
        book.add(f"integer labels upstream per row {dtype}", integer(y), x, y, {"upstream": [2, -1, 0.5]})
        x, y = drawn(dtype, (2, 29), 4010 + at), drawn_labels((2,), 29, 4010 + at)
        book.add(f"29 classes full mantissas {dtype}", integer(y), x, y)
    for axis in (0, 1, 2, -1, -2, -3):
        shape = (2, 4, 3)
        x, y = painted("f32", shape, 4020 + axis), drawn_labels(tuple(np.delete(shape, axis % 3)), shape[axis], 4020 + axis)
        book.add(f"axis {axis} of shape {list(shape)}", integer(y, axis), x, y, {"axis": axis})
    for at, reduction in enumerate(("none", "sum", "mean")):
        x, y = painted("f32", (4, 3), 4030 + at), drawn_labels((4,), 3, 4030 + at)
        book.add(f"weighted by row {reduction}", integer(y), x, y, {"reduction": reduction, "sampleWeight": [0.5, 0, 2, 1]})
        book.add(f"weighted by row {reduction} over all", integer(y), x, y, {"reduction": reduction, "denominator": "all", "sampleWeight": [0.5, 0, 2, 1]})
    inf = np.inf
    book.add("-inf off the target", integer([0, 2]), Logits("f32", [[1, -inf, 0], [0.5, -inf, 2]]), [0, 2])
    book.add("NaN logit", integer([0, 2]), Logits("f32", [[1, np.nan, 0], [0.5, 1, 2]]), [0, 2])


def where_masks(book):
    """`where` takes classes out of the softmax."""
    masks = {"two kept": [1, 0, 0, 1, 0], "four kept": [0, 1, 1, 1, 1], "one kept": [0, 0, 1, 0, 0]}
    for at, ((fact, mask), dtype) in enumerate(itertools.product(masks.items(), ("f32", "f64"))):
        kept = np.flatnonzero(mask)
        x = painted(dtype, (3, 5), 4100 + at)
        y = [int(kept[k % len(kept)]) for k in drawn_labels((3,), 97, 4100 + at)]
        book.add(f"where {fact} {dtype}", integer(y, where=jnp.broadcast_to(jnp.asarray(mask, bool), (3, 5))), x, y, {"classMask": mask, "invalidLabel": "throw"})
    x, y = painted("f32", (2, 3, 2), 4110), [[0, 2], [2, 0]]
    where = jnp.broadcast_to(jnp.asarray([True, False, True])[None, :, None], (2, 3, 2))
    book.add("where axis 1", integer(y, 1, where), x, y, {"axis": 1, "classMask": [1, 0, 1]})
    nan = np.nan
    book.add("where hides NaN and infinity", integer([0, 2], where=jnp.broadcast_to(jnp.asarray([True, False, True]), (2, 3))), Logits("f32", [[1, nan, 0], [0.5, np.inf, 2]]), [0, 2],
             {"classMask": [1, 0, 1]})


def poly(book):
    """poly_loss_cross_entropy on one-hot labels."""
    for at, (epsilon, dtype) in enumerate(itertools.product((-1.0, 0.5, 2.0), DTYPES)):
        x, y = painted(dtype, (3, 4), 4200 + at), drawn_labels((3,), 4, 4200 + at)
        hot = one_hot(y, 4)
        book.add(f"poly_loss epsilon {epsilon} {dtype}", lambda x, hot=hot, epsilon=epsilon: losses.poly_loss_cross_entropy(x, hot, epsilon=epsilon), x, y, {"poly1Epsilon": epsilon})
    x, y = painted("f32", (2, 3, 2), 4220), drawn_labels((2, 2), 3, 4220)
    hot = one_hot(y, 3, 1)
    book.add("poly_loss axis 1 mean", lambda x: losses.poly_loss_cross_entropy(x, hot, epsilon=1.0, axis=1), x, y, {"axis": 1, "poly1Epsilon": 1.0, "reduction": "mean"})
    mask, y = [1, 1, 0, 1], [0, 3, 1]
    where, one = jnp.broadcast_to(jnp.asarray(mask, bool), (3, 4)), one_hot(y, 4)
    book.add("poly_loss where", lambda x: losses.poly_loss_cross_entropy(x, one, epsilon=2.0, where=where), painted("f32", (3, 4), 4221), y, {"poly1Epsilon": 2.0, "classMask": mask})


def smoothing(book):
    """smooth_labels and softmax_cross_entropy: `row` smoothing."""
    for at, (alpha, dtype) in enumerate(itertools.product((0.1, 0.75, 1.0), ("f32", "f64"))):
        x, y = painted(dtype, (3, 5), 4300 + at), drawn_labels((3,), 5, 4300 + at)
        soft = losses.smooth_labels(one_hot(y, 5), alpha)
        for reduction in ("none", "mean"):
            book.add(f"smooth_labels {alpha} {reduction} {dtype}", lambda x, soft=soft: losses.softmax_cross_entropy(x, soft), x, y,
                     {"labelSmoothing": alpha, "smoothingWeights": "row", "reduction": reduction, "sampleWeight": [1, 2, 0.25]})


def z_loss(book):
    """Integer labels plus λ·logsumexp², the z-loss of language models."""
    for at, (weight, dtype) in enumerate(itertools.product((1e-4, 0.01), ("f32", "f64"))):
        x, y = painted(dtype, (3, 4), 4400 + at), drawn_labels((3,), 4, 4400 + at)
        plain = integer(y)
        book.add(f"z-loss {weight} mean {dtype}", lambda x, plain=plain, weight=weight: plain(x) + weight * jax.nn.logsumexp(x, axis=-1) ** 2, x, y, {"zLoss": weight, "reduction": "mean"})


def make():
    book = Book()
    for part in (integer_labels, where_masks, poly, smoothing, z_loss):
        part(book)
    cases.write("optax", {"optax": optax.__version__, "jax": jax.__version__, "numpy": np.__version__}, book.cases)


if __name__ == "__main__":
    make()
