"""The format of a golden case: exact inputs, the peer's numbers, and the check against the definition that each case must pass to be written.

numpy 2.4.6. Used by every from_*.py; README.md describes the format for its readers.
"""
import json
import math
import pathlib

import numpy as np

import bounds
import definition

FOLDER = pathlib.Path(__file__).parent


class Logits:
    """Logits of one dtype: f64 values that are exact in it."""

    def __init__(self, dtype, values):
        self.dtype = dtype
        self.values = narrow(dtype, np.asarray(values, np.float64))

    @property
    def shape(self):
        return self.values.shape

    def json(self):
        out = {"dtype": self.dtype, "shape": list(self.shape), "values": [number(v, self.dtype) for v in self.values.reshape(-1)]}
        if self.dtype in ("f16", "bf16"):
            out["bits"] = [int(b) for b in half_bits(self.dtype, self.values.reshape(-1))]
        return out


def narrow(dtype, values):
    """Rounds once to the dtype and widens again."""
    if dtype == "f64":
        return values
    if dtype == "f32":
        return values.astype(np.float32).astype(np.float64)
    return widen_half(dtype, half_bits(dtype, values))


def half_bits(dtype, values):
    if dtype == "f16":
        return values.astype(np.float16).view(np.uint16)
    bits = values.astype(np.float32).view(np.uint32).astype(np.uint64)
    return ((bits + 0x7FFF + ((bits >> np.uint64(16)) & np.uint64(1))) >> np.uint64(16)).astype(np.uint16)   # to nearest, ties to even


def widen_half(dtype, bits):
    if dtype == "f16":
        return bits.view(np.float16).astype(np.float64)
    return (bits.astype(np.uint32) << np.uint32(16)).view(np.float32).astype(np.float64)


def painted(dtype, shape, seed, step=0.125, reach=4.0):
    """Readable logits: multiples of `step` within ±reach, exact in every dtype."""
    count = int(2 * reach / step)
    draw = np.random.default_rng(seed).integers(0, count + 1, shape)
    return Logits(dtype, draw * step - reach)


def drawn(dtype, shape, seed, scale=3.0):
    """Logits with full mantissas: normal, rounded to the dtype."""
    return Logits(dtype, np.random.default_rng(seed).normal(0, scale, shape))


def drawn_labels(shape, classes, seed, ignored=None, share=0.3):
    """Integer labels; with `ignored`, about `share` of them are that value: the first one always, the last one never."""
    rng = np.random.default_rng(seed + 7919)
    labels = rng.integers(0, classes, shape).astype(object)
    if ignored is not None and labels.size:
        flat = labels.reshape(-1)
        last = flat[-1]
        flat[rng.random(flat.size) < share] = ignored
        flat[0], flat[-1] = ignored, last
    return labels


def number(value, dtype="f64", digits=None):
    """A number as JSON: the shortest decimal that reads back exactly, or `digits` significant ones; non-finite and huge integers as strings."""
    if isinstance(value, int):
        return value if abs(value) < 2 ** 53 else str(value)
    value = float(value)
    if not math.isfinite(value):
        return "NaN" if math.isnan(value) else ("Infinity" if value > 0 else "-Infinity")
    if digits is not None:
        value = float(f"{value:.{digits}g}")
    elif dtype == "f32":
        short = float(str(np.float32(value)))
        assert np.float32(short) == value, f"{value!r} is not a number of f32"
        value = short
    is_negative_zero = value == 0 and math.copysign(1, value) < 0
    return int(value) if value == int(value) and abs(value) < 2 ** 53 and not is_negative_zero else value


def numbers(values, digits=None):
    return [number(v, digits=digits) for v in np.asarray(values, np.float64).reshape(-1)]


def option_json(value):
    if isinstance(value, dict):
        return {k: option_json(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [option_json(v) for v in value]
    return value if isinstance(value, str) or value is None else number(value)


def case(name, peer, logits, labels, options, expect, tolerance=1e-11, label_dtype="i32", digits=14, labels_shape=None, previous=None):
    """Builds one case from the peer's numbers, after comparing all of them with the definition. `previous`, as logits are, is what the gradient is added to."""
    labels = np.asarray(labels, object)
    result = definition.cross_entropy(logits.values, labels, options)
    o = result["options"]
    if previous is not None:
        result["previous"], result["grad"] = previous, result["grad"] + previous.values
    allowed = allowances(result, logits.values, logits.dtype, tolerance)
    strict = allowances(result, logits.values, "f64", tolerance)
    for key in expect:
        columns = definition.PER_CLASS if key == "perClass" else [None]
        for column in columns:
            of = lambda values: values if column is None else values[column]
            check(f"{peer}: {name}: {column or key}", of(expect[key]), of(result[key]), of(strict[key]) if key in strict else 0.0)
    told = {"loss": _value(expect["loss"], result["loss"], digits)}
    if "grad" in expect:
        # A sum has more digits than its bound, which is of what was added.
        told["grad"] = _values(expect["grad"], result["grad"], digits if previous is None else None)
    told |= {"validCount": result["validCount"], "invalidCount": result["invalidCount"], "weightSum": number(result["weightSum"]),
             "denominator": number(result["denominator"]), "lossSum": number(result["lossSum"], digits=digits)}
    bound = {key: shortened(allowed[key]) for key in ("loss", "grad", "lossSum") if key != "grad" or "grad" in expect}
    for key in o["outputs"]:
        value = expect.get(key, result[key])
        if key == "perClass":
            told[key] = {column: numbers(value[column], digits) for column in definition.PER_CLASS}
            bound[key] = {"loss": shortened(allowed[key]["loss"])}
            continue
        told[key] = [int(v) for v in value] if key == "predictions" else numbers(value, digits)
        if key == "predictions":
            told["correctCount"] = result["correctCount"]
        else:
            bound[key] = shortened(allowed[key])
    out = {
        "name": name, "peer": peer, "tolerance": tolerance, "logits": logits.json(),
        "labels": {"dtype": label_dtype, "shape": list(labels_shape or labels.shape), "values": [number(int(y)) for y in labels.reshape(-1)]},
        "options": option_json(options), "expect": told, "bound": bound,
    }
    return out if previous is None else out | {"previous": previous.json()}


def _value(peer, ours, digits):
    return _values(peer, ours, digits) if np.ndim(ours) else number(float(peer) + 0.0, digits=digits)


def _values(peer, ours, digits):
    """The peer's numbers; where the definition says exactly 0 (rows that are not read), +0."""
    peer, ours = np.asarray(peer, np.float64).reshape(-1), np.asarray(ours, np.float64).reshape(-1)
    return numbers(np.where((ours == 0) & (peer == 0), 0.0, peer), digits)


def allowances(result, logits, dtype, tolerance):
    """How far each result may be from the definition, computed in the logits' dtype."""
    per_row = bounds.loss_bounds(result, dtype, tolerance)
    total = float(np.sum(per_row))
    loss = per_row if np.ndim(result["loss"]) else (0.0 if result["empty"] else total / abs(result["denominator"]))
    lse, target = bounds.log_bounds(result, dtype, tolerance)
    grad = bounds.grad_bounds(result, logits, dtype, tolerance)
    if "previous" in result:
        grad = bounds.sum_bounds(grad, result["grad"], dtype)
    classes = bounds.per_class_bounds(result, per_row)
    return {"loss": loss, "lossSum": total, "grad": grad, "logSumExp": lse, "targetLogProb": target, "perClass": classes}


def shortened(bound):
    """Two digits, rounded up: a bound need not be exact, it must not be smaller."""
    up = [number(0 if b == 0 else float(f"{b * 1.05:.1e}")) for b in np.asarray(bound, np.float64).reshape(-1)]
    return up if np.ndim(bound) else up[0]


def check(what, peer, ours, allowed):
    """The peer against the definition; `allowed` is the f64 bound, whatever the case's dtype."""
    peer, ours = np.asarray(peer, np.float64).reshape(-1), np.asarray(ours, np.float64).reshape(-1)
    if peer.shape != ours.shape:
        raise SystemExit(f"{what}: the peer has {peer.shape}, the definition {ours.shape}")
    limit = np.broadcast_to(np.asarray(allowed, np.float64).reshape(-1), ours.shape)
    with np.errstate(invalid="ignore"):
        unlike = ~((np.isnan(peer) & np.isnan(ours)) | (peer == ours) | (np.abs(peer - ours) <= limit))
    if np.any(unlike):
        at = int(np.argmax(unlike))
        raise SystemExit(f"{what}[{at}]: the peer says {peer[at]!r}, the definition {ours[at]!r}, allowed {limit[at]:.2g}")


def write(peer, made_with, cases):
    """One file for a peer, a few lines for each case; names are unique, and the file stays small."""
    names = [c["name"] for c in cases]
    twice = {n for n in names if names.count(n) > 1}
    if twice:
        raise SystemExit(f"{peer}: two cases are called {sorted(twice)}")
    compact = lambda value: json.dumps(value, allow_nan=False, separators=(",", ":"))
    blocks = []
    for c in cases:
        head = ", ".join(f'"{k}": {compact(c[k])}' for k in ("name", "peer", "tolerance"))
        lines = [f'  "{k}": {compact(c[k])}' for k in ("logits", "labels", "options", "previous", "expect", "bound") if k in c]
        blocks.append("{ " + head + ",\n" + ",\n".join(lines) + " }")
    made = compact({"by": f"from_{peer}.py", "with": made_with})
    text = f'{{ "made": {made},\n"cases": [\n' + ",\n".join(blocks) + "\n] }\n"
    path = FOLDER / f"{peer}.json"
    path.write_text(text)
    if len(text) >= 300_000:
        raise SystemExit(f"{path.name} has {len(text)} bytes, expected less than 300000")
    print(f"{path.name}: {len(cases)} cases, {len(text)} bytes")
