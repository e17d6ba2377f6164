"""Golden cases of the last layer with its loss from JAX 0.10.2: log_softmax of h wᵀ + b in f64, gradients by jax.grad. Writes jax.json.

JAX has no such loss; this is the textbook one over its log_softmax, so the cases are those without PyTorch's options.
"""
import jax
import numpy as np

import cases

jax.config.update("jax_enable_x64", True)


def compute(hidden, weight, bias, labels, o):
    def loss(h, w, b):
        z = h @ w.T + b
        if "softcap" in o:
            z = o["softcap"] * jax.numpy.tanh(z / o["softcap"])
        log_p = jax.nn.log_softmax(o.get("logitScale", 1.0) * z, where=np.asarray(o.get("classMask", [1])) != 0)
        each = -log_p[np.arange(len(labels)), np.maximum(labels, 0)]
        valid = labels != o.get("ignoreIndex", -100)
        return o.get("upstream", 1.0) * (each * valid).sum() / (1 if o.get("reduction") == "sum" else valid.sum())

    value, grads = jax.value_and_grad(loss, (0, 1, 2))(hidden, weight, bias)
    return np.asarray(value) / o.get("upstream", 1.0), *grads


if __name__ == "__main__":
    has = lambda o: set(o) <= {"reduction", "ignoreIndex", "logitScale", "softcap", "upstream", "classMask"} and o.get("reduction") != "none"
    cases.write("jax.json", {"by": "from_jax.py", "with": {"jax": jax.__version__, "numpy": np.__version__}}, compute, has)
