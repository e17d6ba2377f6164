# Makes ts/cli/data: the logits of a small classifier on real digits, and what PyTorch says about them.
#
# Versions: Python 3.11, numpy 2.4.6, scikit-learn 1.9.1, torch 2.15.0 (on the CPU).
# Run:      python3 test/cli/make_digits.py        (from anywhere; overwrites the files)
#
# Data: the UCI handwritten digits that scikit-learn carries (1,797 images of 8x8, 10 classes; E. Alpaydin, C. Kaynak, 1998,
# CC BY 4.0). Only labels and the classifier's outputs are written, no image.
# Classifier: 64-32-10 perceptron, trained on the even rows only, so that half of what is scored was never seen.
#
# Files:
#   digits-logits.npy   (1797, 10) <f4
#   digits-labels.npy   (1797,)    |u1
#   digits-loss.npy     (1797,)    <f8   row losses, computed in f64 from the f32 logits
#   digits-grad.npy     (1797, 10) <f4   gradient of the mean loss, computed in f64, rounded once
#   digits.json         cases: options of the command line, and the values PyTorch gives for them in f64

import json
from pathlib import Path

import numpy as np
import sklearn
import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits

OUT = Path(__file__).resolve().parents[2] / "ts" / "cli" / "data"
SEED = 20240607


def train(images, labels):
    torch.manual_seed(SEED)
    torch.set_num_threads(1)
    model = torch.nn.Sequential(torch.nn.Linear(64, 32), torch.nn.ReLU(), torch.nn.Linear(32, 10))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    for _ in range(150):
        optimizer.zero_grad()
        F.cross_entropy(model(images), labels).backward()
        optimizer.step()
    return model


def measure(logits, labels, class_weight=None, sample_weight=None, ignore=(), smoothing=0.0):
    """Mean over Σ class weight * sample weight of valid rows; row losses; gradient of the mean; all f64."""
    x = torch.tensor(logits, dtype=torch.float64, requires_grad=True)
    y = torch.tensor(labels.astype(np.int64))
    w = None if class_weight is None else torch.tensor(class_weight)
    o = torch.ones(len(y), dtype=torch.float64) if sample_weight is None else torch.tensor(sample_weight)
    target = torch.where(torch.isin(y, torch.tensor(list(ignore), dtype=torch.int64)), -100, y)
    rows = F.cross_entropy(x, target, weight=w, reduction="none", ignore_index=-100, label_smoothing=smoothing) * o
    valid = target >= 0
    row_weight = (torch.ones_like(o) if w is None else w[y]) * o * valid
    mean = rows.sum() / row_weight.sum()
    mean.backward()
    correct = int(((x.argmax(1) == y) & valid).sum())
    return {
        "meanLoss": mean.item(),
        "lossSum": rows.sum().item(),
        "weightSum": row_weight.sum().item(),
        "validCount": int(valid.sum()),
        "correctCount": correct,
        "gradNorm": x.grad.norm().item(),
    }, rows.detach().numpy(), x.grad.numpy()


def main():
    digits = load_digits()
    images = torch.tensor(digits.data / 16.0, dtype=torch.float32)
    labels = digits.target.astype(np.uint8)
    model = train(images[::2], torch.tensor(digits.target[::2]))
    with torch.no_grad():
        logits = model(images).numpy().astype(np.float32)

    counts = np.bincount(labels, minlength=10)
    balanced = len(labels) / (10 * counts)
    ramp = 0.25 + 0.25 * np.arange(10)  # the tests write this file
    saw = (np.arange(len(labels)) % 5) * 0.5  # and this one

    # Per case: options of `score`, and the same in `measure`. RAMP and SAW stand for the two files.
    cases = {
        "plain": ([], {}),
        "balanced": (["--class-weight", "balanced"], {"class_weight": balanced}),
        "class weights": (["--class-weight", "RAMP"], {"class_weight": ramp}),
        "sample weights": (["--sample-weight", "SAW"], {"sample_weight": saw}),
        "ignored classes": (["--ignore-index", "0", "--ignore-index", "7"], {"ignore": (0, 7)}),
        "smoothing": (["--label-smoothing", "0.1"], {"smoothing": 0.1}),
        "all at once": (
            ["--class-weight", "RAMP", "--sample-weight", "SAW", "--ignore-index", "3", "--label-smoothing", "0.2"],
            {"class_weight": ramp, "sample_weight": saw, "ignore": (3,), "smoothing": 0.2},
        ),
    }
    expected = {name: {"options": options, **measure(logits, labels, **given)[0]} for name, (options, given) in cases.items()}
    _, rows, grad = measure(logits, labels)
    per_class = [
        {
            "count": int(counts[k]),
            "meanLoss": float(rows[labels == k].mean()),
            "recall": float((logits[labels == k].argmax(1) == k).mean()),
        }
        for k in range(10)
    ]

    OUT.mkdir(parents=True, exist_ok=True)
    np.save(OUT / "digits-logits.npy", logits)
    np.save(OUT / "digits-labels.npy", labels)
    np.save(OUT / "digits-loss.npy", rows)
    np.save(OUT / "digits-grad.npy", grad.astype(np.float32))
    record = {
        "source": "UCI handwritten digits (E. Alpaydin, C. Kaynak, 1998, CC BY 4.0), as carried by scikit-learn; labels and classifier outputs only",
        "versions": {"torch": torch.__version__, "numpy": np.__version__, "scikit-learn": sklearn.__version__},
        "cases": expected,
        "perClass": per_class,
    }
    (OUT / "digits.json").write_text(json.dumps(record, indent=2, ensure_ascii=False) + "\n")
    print(json.dumps(expected["plain"]), {path.name: path.stat().st_size for path in sorted(OUT.iterdir())})


if __name__ == "__main__":
    main()
