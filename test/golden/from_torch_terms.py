"""Golden cases of options that PyTorch 2.15.0 (CPU) has no function for, by its autograd through the formula; numpy 2.4.6. Writes torch_terms.json."""
import itertools

import numpy as np
import torch

import cases
from cases import Logits, drawn, drawn_labels, painted
from from_torch import DTYPES, V3, Book


def generalised(book):
    """Generalised cross-entropy, alone and with what it goes together with."""
    around = [{}, {"classWeight": V3, "labelSmoothing": 0.1}, {"sampleWeight": [1, 0.5, 2, 1.5], "zLoss": 0.01, "logitScale": 0.5}, {"classWeight": V3, "ignoreIndex": -1, "labelSmoothing": 0.25, "smoothingWeights": "row"}]
    for at, (q, more) in enumerate(itertools.product((0.7, 1.0, 0.25), around)):
        dtype, seed = DTYPES[at % 4], 1500 + at
        labels = drawn_labels((2, 2), 3, seed, -1 if "ignoreIndex" in more else None)
        fact = " ".join(key for key in more)
        book.add(f"gceQ {q} {fact or 'alone'} {dtype}", painted(dtype, (2, 3, 2), seed), labels, {"axis": 1, "reduction": ("none", "mean", "sum")[at % 3], "gceQ": q} | more)
    for at, dtype in enumerate(DTYPES):
        book.add(f"gceQ 0.7 33 classes full mantissas mean {dtype}", drawn(dtype, (2, 33), 1520 + at), drawn_labels((2,), 33, 1520 + at), {"gceQ": 0.7})
    logs = np.log([[0.25, 0.5, 0.25], [0.125, 0.125, 0.75]])
    book.add("gceQ 0.5 of log-probabilities", Logits("f64", logs), [0, 2], {"gceQ": 0.5, "input": "logProbs", "reduction": "none"})


def capped(book):
    """Softly capped logits: cap tanh(x / cap), as Gemma 2 writes it, before everything else."""
    asks = {"outputs": ["logSumExp", "targetLogProb", "predictions"]}
    around = [{}, {"classWeight": V3, "labelSmoothing": 0.1, "zLoss": 0.01}, {"logitScale": 2.0, "focalGamma": 2.0, "ignoreIndex": -1}, asks]
    for at, (cap, more) in enumerate(itertools.product((1.0, 4.0, 30.0), around)):
        dtype, seed = DTYPES[(at + at // 4) % 4], 1600 + at
        labels = drawn_labels((2, 2), 3, seed, -1 if "ignoreIndex" in more else None)
        fact = " ".join(key for key in more)
        book.add(f"softcap {cap} {fact or 'alone'} {dtype}", painted(dtype, (2, 3, 2), seed), labels, {"axis": 1, "reduction": ("none", "mean", "sum")[at % 3], "softcap": cap} | more)
    for at, dtype in enumerate(DTYPES):
        x = drawn(dtype, (2, 33), 1620 + at)
        book.add(f"softcap 2 33 classes full mantissas {dtype}", x, drawn_labels((2,), 33, 1620 + at), {"softcap": 2.0, "reduction": "sum"} | asks)
        before = drawn(dtype, (1, 5), 1630 + at, 0.5)
        book.add(f"softcap 3 added to a gradient {dtype}", drawn(dtype, (1, 5), 1640 + at), [2], {"softcap": 3.0, "reduction": "sum"}, before)
    book.add("softcap 5 above the cap", Logits("f64", [[9, -3, 8], [0.5, 7, -8]]), [1, 0], {"softcap": 5.0, "reduction": "none"})
    book.add("softcap 30 two classes", painted("f32", (3, 2), 1650), [0, 1, 1], {"softcap": 30.0, "reduction": "none"})


def make():
    book = Book()
    generalised(book)
    capped(book)
    cases.write("torch_terms", {"torch": torch.__version__.split("+")[0], "numpy": np.__version__}, book.cases)


if __name__ == "__main__":
    make()
