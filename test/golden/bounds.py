"""The accuracy bound of a case: how far a correct result may lie from the expected one. numpy 2.4.6.

    U = 2^-24 for f32, f16 and bf16 logits, 2^-53 for f64;   T = C² 2^-124 (f64: C² 2^-1020);   m = |z_y - max of the others|
    loss, 1 - p_y:  U (32 + m) |value| + T            p_i:  U (32 + 2m + s (M - x_i)) p_i + T
    with options on: the same on the sum of the absolute terms, times 2 + γ, and T^γ for 0 < γ < 1

under `softcap` m is larger by 4 s (|c_y| + max |c|), what rounding takes from capped logits c in units, and the slope has half a bound of its own;
plus one rounding to a 16-bit gradient, plus the tolerance of the peer, relative to the same absolute terms. Where every term is 0 the bound is 0.
"""
import math

import numpy as np

GRAD_ROUNDING = {"f16": (2.0 ** -11, 2.0 ** -25), "bf16": (2.0 ** -8, 2.0 ** -134), "f32": (0.0, 0.0), "f64": (0.0, 0.0)}


def unit(dtype):
    return 2.0 ** -53 if dtype == "f64" else 2.0 ** -24


def smallest(dtype, classes, gamma):
    t = classes ** 2 * (2.0 ** -1020 if dtype == "f64" else 2.0 ** -124)
    return t ** gamma if 0 < gamma < 1 else t


def factor(o):
    """1 for the plain loss with weights, 2 + γ once an option adds terms."""
    plain = not (o["labelSmoothing"] or o["zLoss"] or o["focalGamma"] or o["poly1Epsilon"] or o["gceQ"] or o["labelMatrix"] or o["input"] == "probs")
    return 1.0 if plain and o["logitScale"] == 1 else 2.0 + o["focalGamma"]


def relative(dtype, margin, o, tolerance):
    return unit(dtype) * (32 + margin) * factor(o) + tolerance


def loss_bounds(result, dtype, tolerance):
    """One bound for each row's loss."""
    o, tiny = result["options"], smallest(dtype, result["classes"], result["options"]["focalGamma"])
    bounds = []
    for row in result["rows"]:
        size = row.parts.get("loss", 0.0) if row.kind == "active" else 0.0
        exact = size == 0 or not math.isfinite(row.loss)
        bounds.append(0.0 if exact else relative(dtype, row.parts.get("margin", 0.0) + row.parts.get("capped", 0.0), o, tolerance) * size + tiny * max(1.0, abs(row.weight)))
    return np.array(bounds)


def grad_bounds(result, logits, dtype, tolerance):
    """One bound for each element of the gradient, in the logits' layout."""
    o, classes, axis = result["options"], result["classes"], result["axis"]
    x_rows = np.moveaxis(logits, axis, -1).reshape(-1, classes)
    out = np.zeros(x_rows.shape)
    step, floor = GRAD_ROUNDING[dtype]
    for index, row in enumerate(result["rows"]):
        g = abs(result["upstream"][index] / result["denominator"]) if not result["empty"] else 0.0
        if row.kind == "active" and row.parts and g > 0 and math.isfinite(g) and not np.any(np.isnan(row.grad)):
            out[index] = row_bounds(row, x_rows[index], g, o, dtype, tolerance)
            out[index] += np.where(out[index] > 0, step * np.abs(g * row.grad) + floor, 0.0)
    return np.moveaxis(out.reshape(*np.delete(logits.shape, axis), classes), -1, axis)


def row_bounds(row, x, g, o, dtype, tolerance):
    parts, u, tiny = row.parts, unit(dtype), smallest(dtype, len(x), o["focalGamma"])
    margin, top, p = parts.get("margin", 0.0), parts.get("top", 0.0), parts.get("p", np.zeros(len(x)))
    x, capped, slope = parts.get("x", x), parts.get("capped", 0.0), parts.get("slope", 1.0)
    with np.errstate(invalid="ignore"):
        depth = np.where(p > 0, o["logitScale"] * (top - x), 0.0)
    b = np.asarray(parts["b"])
    terms = parts["a"] * p
    allowed = (u * (32 + capped + 2 * margin + depth) * factor(o) + tolerance) * (terms + b)
    y, near = row.label, relative(dtype, margin + capped, o, tolerance)
    is_close = parts["r"] < 0.5 and o["input"] == "logits"     # the target's element is then e - a r
    target = parts["e"] + parts["a"] * parts["r"] if is_close else terms[y] + b[y] + parts["c"]
    allowed[y] = near * target
    nothing = (terms + b) == 0
    nothing[y] = target == 0
    allowed = allowed * slope * (1.5 if o["softcap"] else 1.0)
    return np.where(nothing, 0.0, g * (allowed + tiny * max(1.0, parts["a"] + parts["c"])))


def sum_bounds(grad, total, dtype):
    """Of a gradient that was added to another, with one rounding to its dtype. Where nothing was added, the bound stays 0."""
    step = GRAD_ROUNDING[dtype][0] or unit(dtype)
    return np.where(grad > 0, grad + step * np.abs(total), 0.0)


def per_class_bounds(result, per_row):
    """Of the sums over the rows of each label: the rows' own bounds, and none for counts."""
    loss = np.zeros(result["classes"])
    for row, bound in zip(result["rows"], per_row):
        if row.kind in ("active", "inactive"):
            loss[row.label] += bound
    return {"loss": loss, "weight": 1e-12 * np.abs(result["perClass"]["weight"]), "count": 0.0, "correct": 0.0}


def log_bounds(result, dtype, tolerance):
    """Bounds for logSumExp and targetLogProb, one for each row."""
    tiny = smallest(dtype, result["classes"], 0.0)
    lse, target = [], []
    for row in result["rows"]:
        known = bool(row.parts) and math.isfinite(row.target_log_prob)
        near = unit(dtype) * (32 + row.parts.get("margin", 0.0) + row.parts.get("capped", 0.0)) * 2 + tolerance
        lse.append(near * row.parts["lse_size"] + tiny if row.parts and math.isfinite(row.lse) else 0.0)
        target.append(near * abs(row.target_log_prob) + tiny if known else 0.0)
    return np.array(lse), np.array(target)
