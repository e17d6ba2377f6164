"""The operation, written down in numpy f64: what every golden case is compared with before it is written.

One row at a time and one formula a line, so that it can be read against the documentation of the options. Nothing here is fast, and nothing is shared
with the generators: they ask a peer, this file answers on its own. numpy 2.4.6.
"""
import math
from dataclasses import dataclass, field

import numpy as np

DEFAULTS = {
    "axis": -1, "reduction": "mean", "denominator": "weights", "ignoreIndex": None, "invalidLabel": "throw",
    "classWeight": None, "sampleWeight": 1.0, "labelSmoothing": 0.0, "smoothingWeights": "class", "emptyMean": "zero",
    "upstream": 1.0, "zLoss": 0.0, "focalGamma": 0.0, "poly1Epsilon": 0.0, "gceQ": 0.0, "softcap": 0.0, "logitScale": 1.0, "input": "logits",
    "probsEpsilon": 1e-7, "probsNormalize": "before", "classMask": None, "labelMatrix": None, "outputs": [],
}
PER_CLASS = ("loss", "weight", "count", "correct")
F64 = np.float64


@dataclass
class Row:
    """What a row is before the reduction: its weighted loss h, and the gradient of h by its logits."""
    kind: str                     # "ignored", "invalid", "inactive", "active"
    is_bad_label: bool = False    # the label is no kept class; an "invalid" row, or an "ignored" one under invalidLabel ignore
    label: int = 0
    weight: float = 0.0           # w = v_y ω, what the denominator `weights` sums
    loss: float = 0.0
    grad: np.ndarray | None = None
    lse: float = math.nan
    target_log_prob: float = math.nan
    prediction: int = -1
    parts: dict = field(default_factory=dict)   # sizes of the terms, for bounds.py


def filled(options):
    """The options with every default in its place; an unknown name is a mistake in a generator."""
    unknown = set(options) - set(DEFAULTS)
    if unknown:
        raise KeyError(f"no such option: {sorted(unknown)}")
    return DEFAULTS | options


def numbers(value):
    """An array option as a flat f64 array."""
    values = value["values"] if isinstance(value, dict) else value
    flat = np.array([float(v) for v in values], F64)
    if isinstance(value, dict) and value["dtype"] == "f32":
        flat = flat.astype(np.float32).astype(F64)
    return flat


def class_weights(value, classes):
    if value is None:
        return np.ones(classes)
    if isinstance(value, dict) and "values" not in value:
        return np.array([float(value.get(str(k), 1.0)) for k in range(classes)])
    return numbers(value)


def per_row(value, label_shape):
    """A scalar, a flat list, or an array of the labels' rank with ones, as one number for every row."""
    rows = math.prod(label_shape)
    if isinstance(value, (int, float)):
        return np.full(rows, float(value))
    flat = numbers(value)
    if isinstance(value, dict) and len(value["shape"]) == len(label_shape):
        return np.broadcast_to(flat.reshape(value["shape"]), label_shape).reshape(-1)
    return flat


def softplus(t):
    return math.log1p(math.exp(t)) if t <= 0 else t + math.log1p(math.exp(-t))


def sigmoid(t):
    return 1 / (1 + math.exp(-t)) if t >= 0 else math.exp(t) / (1 + math.exp(t))


def log_sum_exp(z):
    if len(z) == 0 or np.max(z) == -math.inf:
        return -math.inf
    top = np.max(z)
    return float(top + math.log(np.sum(np.exp(z - top))))


def statistics(x, y, s, v, kept):
    """ℓ, r, q, p, lse, u, u_v of a row of logits, or None for a row that is NaN."""
    inside = x[kept]
    if np.any(np.isnan(inside)) or np.any(inside == math.inf) or np.all(inside == -math.inf):
        return None
    others = kept.copy()
    others[y] = False
    top = float(np.max(inside))
    exps = np.exp(s * (inside - top))
    log_s = math.log(np.sum(exps))
    delta = math.inf if x[y] == -math.inf else log_sum_exp(s * (x[others] - x[y]))
    count = int(np.sum(kept))
    surprise = log_s - s * (inside - top)           # -ln p_k
    with np.errstate(invalid="ignore"):
        u, u_v = float(np.sum(surprise) / count), float(np.sum(v[kept] * surprise) / count)
    rivals = float(np.max(x[others])) if np.any(others) else -math.inf
    margin = abs(s * (float(x[y]) - rivals))
    probability = np.zeros(len(x))
    probability[kept] = exps / np.sum(exps)
    return {
        "l": softplus(delta) if delta < math.inf else math.inf, "r": sigmoid(delta), "q": sigmoid(-delta), "p": probability,
        "lse": s * top + log_s, "lse_size": abs(s * top) + log_s, "u": u, "u_v": u_v, "surprise": surprise, "top": top,
        "margin": margin if margin < math.inf else 0.0,
    }


def log_prob_statistics(x, y, v):
    """The same from log-probabilities: the row is taken as it is, so the softmax is a constant to the gradient."""
    with np.errstate(invalid="ignore"):
        u, u_v = float(-np.mean(x)), float(-np.mean(v * x))
    return {
        "l": -float(x[y]), "r": 1 - math.exp(x[y]), "q": math.exp(x[y]), "p": np.zeros(len(x)), "lse": math.nan, "lse_size": 0.0,
        "u": u, "u_v": u_v, "surprise": -x, "top": 0.0, "margin": 0.0,
    }


def power(r, gamma):
    return 1.0 if gamma == 0 else r ** gamma


def logits_row(x, y, omega, v, kept, o):
    """A row of `logits` or `logProbs`: loss, gradient, and the sizes of their terms."""
    scaled, eps, lam = o["logitScale"], o["labelSmoothing"], o["zLoss"]
    gamma, pi = o["focalGamma"], o["poly1Epsilon"]
    w, count, total = float(v[y]) * omega, int(np.sum(kept)), float(np.sum(v[kept]))
    nan_row = np.where(kept, math.nan, 0.0)
    stats = statistics(x, y, scaled, v, kept) if o["input"] == "logits" else log_prob_statistics(x, y, v)
    if stats is None:
        return math.nan, nan_row, {}, None
    l, r, q = stats["l"], stats["r"], stats["q"]
    if o["gceQ"]:
        q_of = o["gceQ"]
        f, slope = -math.expm1(-q_of * l) / q_of, math.exp(-q_of * l)
        f_size, slope_size = abs(f), slope
    elif gamma == 0 and pi == 0:
        f, slope, f_size, slope_size = l, 1.0, abs(l), 1.0
    else:
        rho = 1.0 if r == 0 else l / r
        f = power(r, gamma) * (l + pi * r)
        f_size = power(r, gamma) * (l + abs(pi) * r)
        slope = 1.0 if l == math.inf else power(r, gamma) * (1 + pi * q + gamma * q * (rho + pi))
        slope_size = 1.0 if l == math.inf else power(r, gamma) * (1 + abs(pi) * q + gamma * q * (rho + abs(pi)))
    smooth_class = eps > 0 and o["smoothingWeights"] == "class"
    smooth_row = eps > 0 and not smooth_class

    loss, loss_size = 0.0, 0.0
    if eps < 1 and w != 0:
        loss, loss_size = (1 - eps) * w * f, (1 - eps) * abs(w) * f_size
    if smooth_class and np.any(v[kept] != 0):
        loss += eps * omega * stats["u_v"]
        loss_size += eps * abs(omega) * float(np.sum(np.abs(v[kept]) * np.abs(stats["surprise"]))) / count
    if smooth_row:
        loss += eps * w * stats["u"]
        loss_size += eps * abs(w) * float(np.sum(np.abs(stats["surprise"]))) / count
    if lam > 0:
        loss += lam * w * stats["lse"] ** 2
        loss_size += lam * abs(w) * stats["lse_size"] ** 2

    direct = o["input"] == "logProbs"               # no softmax between x and the loss: a = 0
    spread = 0.0 if not eps else (eps * omega * total / count if smooth_class else eps * w)
    spread_size = 0.0 if not eps else (eps * abs(omega) * float(np.sum(np.abs(v[kept]))) / count if smooth_class else eps * abs(w))
    z_part = 2 * lam * w * stats["lse"] if lam > 0 else 0.0
    a = 0.0 if direct else (1 - eps) * w * slope + spread + z_part
    b = np.zeros(len(x))
    if eps:
        b[kept] = -eps * omega * v[kept] / count if smooth_class else -eps * w / count
    c = -(1 - eps) * w * slope
    grad = a * stats["p"] + b
    if direct:
        grad[y] += c
    elif r < 0.5:                                   # e - a r: nothing cancels in a confident row
        share = v[y] / count
        e = (eps * omega * (total / count - share) if smooth_class else eps * w * (1 - 1 / count)) if eps else 0.0
        grad[y] = e + z_part - a * r
    else:
        grad[y] = a * q + b[y] + c
    grad = np.where(kept, scaled * grad, 0.0)
    a_size = 0.0 if direct else (1 - eps) * abs(w) * slope_size + spread_size + (2 * lam * abs(w) * stats["lse_size"] if lam > 0 else 0.0)
    sizes = {"loss": loss_size, "a": scaled * a_size, "b": scaled * np.abs(b), "c": scaled * (1 - eps) * abs(w) * slope_size, "r": r,
             "e": scaled * (a_size - (0.0 if direct else (1 - eps) * abs(w) * slope_size))}
    return loss, grad, sizes, stats


def matrix_row(x, y, omega, matrix, kept, o):
    """labelMatrix: every class's -ln p_k, weighted by row y of the matrix."""
    stats = statistics(x, y, o["logitScale"], np.ones(len(x)), kept)
    if stats is None:
        return math.nan, np.where(kept, math.nan, 0.0), {}, None
    h = matrix[y]
    loss = omega * float(np.sum(h * stats["surprise"]))
    grad = o["logitScale"] * omega * (np.sum(h) * stats["p"] - h)
    sizes = {"loss": abs(omega) * float(np.sum(np.abs(h) * stats["surprise"])), "a": o["logitScale"] * abs(omega) * float(np.sum(np.abs(h))),
             "b": o["logitScale"] * abs(omega) * np.abs(h), "c": 0.0, "r": 1.0}
    return loss, grad, sizes, stats


def probs_row(x, y, w, o):
    """Probabilities, clipped to [ε, 1-ε] in one of the three ways frameworks do it."""
    eps, mode, total = o["probsEpsilon"], o["probsNormalize"], float(np.sum(x))
    at_target = (np.arange(len(x)) == y).astype(F64)
    clipped = np.clip(x, eps, 1 - eps)
    free = (x >= eps) & (x <= 1 - eps)
    if mode == "before":
        n = x[y] / total
        loss = -math.log(min(max(n, eps), 1 - eps))
        grad = (1 / total - at_target / x[y]) if eps <= n <= 1 - eps else np.zeros(len(x))
    elif mode == "after":
        loss = math.log(np.sum(clipped)) - math.log(clipped[y])
        grad = np.where(free, 1 / np.sum(clipped) - at_target / clipped[y], 0.0)
    else:
        loss = -math.log(clipped[y])
        grad = -at_target / x[y] if free[y] else np.zeros(len(x))
    held = {"before": 1 / total, "after": 1 / np.sum(clipped), "none": 0.0}[mode]
    sizes = {"loss": abs(w) * (abs(loss) + 1), "a": 0.0, "b": abs(w) * held * (grad != 0), "c": abs(w) / clipped[y] * (grad[y] != 0), "r": 1.0}
    return w * loss, w * grad, sizes, None


def cross_entropy(logits, labels, options):
    """Everything a case expects, from f64 logits (any shape), integer labels and the options."""
    o = filled(options)
    axis = o["axis"] % logits.ndim
    classes = logits.shape[axis]
    label_shape = tuple(np.delete(logits.shape, axis))
    x_rows = np.moveaxis(logits, axis, -1).reshape(-1, classes)
    y_rows = [int(y) for y in np.asarray(labels, object).reshape(-1)]
    v = class_weights(o["classWeight"], classes)
    omega = per_row(o["sampleWeight"], label_shape)
    kept = np.ones(classes, bool) if o["classMask"] is None else np.array(o["classMask"], bool)
    ignore = o["ignoreIndex"] if isinstance(o["ignoreIndex"], list) else [o["ignoreIndex"]]
    matrix = None if o["labelMatrix"] is None else numbers(o["labelMatrix"]).reshape(classes, classes)
    rows = [decide(x, y, float(ω), v, kept, ignore, matrix, o) for x, y, ω in zip(x_rows, y_rows, omega)]

    valid = [row for row in rows if row.kind != "ignored"]
    weight_sum = float(sum(row.weight for row in valid))
    denominator = {"weights": weight_sum, "valid": len(valid), "all": len(rows),
                   "nonzero": sum(row.weight != 0 for row in valid)}.get(o["denominator"], o["denominator"])
    d = float(denominator) if o["reduction"] == "mean" else 1.0
    loss_sum = float(sum(row.loss for row in rows))
    upstream = per_row(o["upstream"], label_shape)
    losses = np.array([row.loss for row in rows])
    empty = d == 0
    if empty:
        loss = math.nan if o["emptyMean"] == "nan" else 0.0
    else:
        loss = losses if o["reduction"] == "none" else loss_sum / d
    grads = np.zeros((len(rows), classes))
    for index, row in enumerate(rows):
        if empty:
            grads[index] = math.nan if o["emptyMean"] == "nan" and row.kind != "ignored" else 0.0
        elif row.kind == "invalid" or (row.grad is not None and upstream[index] != 0):
            grads[index] = upstream[index] / d * row.grad + 0.0
    grad = np.moveaxis(grads.reshape(*label_shape, classes), -1, axis)
    return {
        "loss": loss, "grad": grad, "lossSum": loss_sum, "weightSum": weight_sum, "denominator": d, "validCount": len(valid),
        "invalidCount": sum(row.is_bad_label for row in rows), "logSumExp": np.array([row.lse for row in rows]),
        "targetLogProb": np.array([row.target_log_prob for row in rows]), "predictions": [row.prediction for row in rows],
        "correctCount": sum(row.kind in ("active", "inactive") and row.prediction == row.label for row in rows),
        "perClass": per_class(rows, classes),
        "rows": rows, "upstream": upstream, "axis": axis, "classes": classes, "empty": empty, "options": o,
    }


def per_class(rows, classes):
    """Sums over the rows of each label that is a class and not ignored."""
    totals = {name: np.zeros(classes) for name in PER_CLASS}
    for row in rows:
        if row.kind in ("active", "inactive"):
            for name, value in zip(PER_CLASS, (row.loss, row.weight, 1.0, float(row.prediction == row.label))):
                totals[name][row.label] += value
    return totals


def decide(x, y, omega, v, kept, ignore, matrix, o):
    """One row: ignored, then invalid, then inactive, and only then its logits."""
    classes = len(x)
    if y in ignore:
        return Row("ignored")
    if not 0 <= y < classes or not kept[y]:
        if o["invalidLabel"] == "ignore":
            return Row("ignored", is_bad_label=True)
        if o["invalidLabel"] == "throw":
            raise ValueError(f"label {y} is not a class, and the case expects no error")
        return Row("invalid", is_bad_label=True, weight=omega, loss=math.nan, grad=np.where(kept, math.nan, 0.0))
    w = float(v[y]) * omega
    smooth_class = o["labelSmoothing"] > 0 and o["smoothingWeights"] == "class"
    inactive = omega == 0 or (w == 0 and not smooth_class)
    cap, slope = o["softcap"], 1.0
    if cap:                                         # the capped logits are the logits, and the chain rule follows
        with np.errstate(over="ignore"):
            x, slope = cap * np.tanh(x / cap), np.cosh(x / cap) ** -2.0
    if o["input"] == "probs":
        loss, grad, sizes, stats = probs_row(x, y, w, o)
    elif matrix is not None:
        loss, grad, sizes, stats = matrix_row(x, y, omega, matrix, kept, o)
    else:
        loss, grad, sizes, stats = logits_row(x, y, omega, v, kept, o)
    if cap:
        grad = grad * slope
        sizes |= {"x": x, "slope": slope, "capped": 4 * o["logitScale"] * (abs(float(x[y])) + float(np.max(np.abs(x))))}
    row = Row("inactive" if inactive else "active", label=y, weight=w, parts=sizes)
    if stats is not None:
        row.lse, row.target_log_prob = stats["lse"], -stats["l"]
        row.parts |= {name: stats[name] for name in ("p", "top", "lse_size", "margin", "l")}
    inside = np.where(kept, x, -math.inf)
    row.prediction = -1 if np.any(np.isnan(x[kept])) else int(np.argmax(inside))
    if not inactive:
        row.loss, row.grad = loss, grad
    return row
