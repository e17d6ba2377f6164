"""Golden cases of the last layer with its loss from PyTorch 2.15.0 (CPU): F.linear and F.cross_entropy in f64, gradients by autograd. Writes torch.json.

z-loss, the logit scale, the soft cap, weights per row and the mask are written in PyTorch around F.cross_entropy, which has no option for them.
"""
import numpy as np
import torch
import torch.nn.functional as F

import cases


def compute(hidden, weight, bias, labels, o):
    h, w, b = (torch.tensor(values, requires_grad=True) for values in (hidden, weight, bias))
    y = torch.tensor(labels)
    v = None if "classWeight" not in o else torch.tensor(o["classWeight"], dtype=torch.float64)
    ignore, reduction = o.get("ignoreIndex", -100), o.get("reduction", "mean")
    z = F.linear(h, w, b)
    if "softcap" in o:
        z = o["softcap"] * torch.tanh(z / o["softcap"])
    z = o.get("logitScale", 1.0) * z
    if "classMask" in o:
        z = z.masked_fill(torch.tensor(o["classMask"]) == 0, -torch.inf)
    common = {"weight": v, "ignore_index": ignore, "label_smoothing": o.get("labelSmoothing", 0.0)}
    loss = F.cross_entropy(z, y, reduction="none" if "sampleWeight" in o else reduction, **common)
    if "sampleWeight" in o:
        loss = (torch.tensor(o["sampleWeight"], dtype=torch.float64) * loss).sum()
    if "zLoss" in o:
        valid = y != ignore
        loss = loss + o["zLoss"] * (z.logsumexp(1) ** 2)[valid].mean()
    loss.backward(torch.tensor(o.get("upstream", 1.0), dtype=torch.float64))
    return loss.detach().numpy(), h.grad.numpy(), w.grad.numpy(), b.grad.numpy()


if __name__ == "__main__":
    cases.write("torch.json", {"by": "from_torch.py", "with": {"torch": torch.__version__.split("+")[0], "numpy": np.__version__}}, compute)
