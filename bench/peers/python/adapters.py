"""The Python libraries, each as its users write sparse softmax cross-entropy. `call` returns once loss and gradient are there.

`prepare` gets logits [rows, classes] or, with the classes on axis 1, [outer, classes, inner], and labels without the class axis."""

import os


def open_adapter(name, threads):
    if name in ("torch", "torch-compile"):
        return Torch(threads, name == "torch-compile")
    if name == "jax":
        return Jax(threads)
    if name == "tensorflow":
        return TensorFlow(threads)
    raise ValueError(f"no such adapter: {name}")


class Torch:
    """torch.nn.functional.cross_entropy, eager or by torch.compile."""

    def __init__(self, threads, compiled):
        import torch

        torch.set_num_threads(threads)
        self.torch, self.compiled = torch, compiled
        self.versions = {"PyTorch": torch.__version__}

    def prepare(self, logits, labels, class_weights, ignored):
        torch = self.torch
        weights = None if class_weights is None else torch.tensor(class_weights, dtype=torch.float32)
        settings = {"weight": weights} if ignored is None else {"weight": weights, "ignore_index": ignored}
        self.logits = torch.from_numpy(logits).requires_grad_()
        self.labels = torch.from_numpy(labels).to(torch.int64)

        def loss(x, y):
            return torch.nn.functional.cross_entropy(x, y, **settings)

        if self.compiled:
            # Another shape is another program, not a general one.
            torch.compiler.reset()
            loss = torch.compile(loss, dynamic=False)
        self.loss = loss

    def call(self, what):
        if what == "loss":
            with self.torch.no_grad():
                return self.loss(self.logits, self.labels).item(), None
        loss = self.loss(self.logits, self.labels)
        (grad,) = self.torch.autograd.grad(loss, self.logits)
        return loss.item(), grad

    def read(self, grad, indices):
        return grad.reshape(-1)[indices].tolist()

    def drop(self):
        self.logits = self.labels = self.loss = None


class Jax:
    """optax.losses.softmax_cross_entropy_with_integer_labels by jax.jit."""

    def __init__(self, threads):
        os.environ["JAX_PLATFORMS"] = "cpu"
        # The size of XLA's thread pool on a CPU; read once, when the backend starts.
        os.environ["NPROC"] = str(threads)
        if threads == 1:
            os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false"
        import jax
        import optax

        self.jax, self.optax = jax, optax
        self.versions = {"JAX": jax.__version__, "optax": optax.__version__}

    def prepare(self, logits, labels, class_weights, ignored):
        jax, optax = self.jax, self.optax
        jnp = jax.numpy
        axis = 1
        self.logits, self.labels = jnp.asarray(logits), jnp.asarray(labels)

        def loss(x, y):
            if class_weights is None:
                return optax.losses.softmax_cross_entropy_with_integer_labels(x, y, axis=axis).mean()
            kept = y != ignored
            known = jnp.where(kept, y, 0)
            weights = jnp.asarray(class_weights, dtype=jnp.float32)[known] * kept
            return (optax.losses.softmax_cross_entropy_with_integer_labels(x, known, axis=axis) * weights).sum() / weights.sum()

        self.loss, self.loss_and_grad = jax.jit(loss), jax.jit(jax.value_and_grad(loss))

    def call(self, what):
        if what == "loss":
            return float(self.loss(self.logits, self.labels)), None
        loss, grad = self.jax.block_until_ready(self.loss_and_grad(self.logits, self.labels))
        return float(loss), grad

    def read(self, grad, indices):
        import numpy

        return numpy.asarray(grad).reshape(-1)[indices].tolist()

    def drop(self):
        self.logits = self.labels = self.loss = self.loss_and_grad = None
        self.jax.clear_caches()


class TensorFlow:
    """tf.nn.sparse_softmax_cross_entropy_with_logits by tf.function."""

    def __init__(self, threads):
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
        os.environ["CUDA_VISIBLE_DEVICES"] = ""
        import tensorflow as tf

        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(threads)
        self.tf = tf
        self.versions = {"TensorFlow": tf.__version__}

    def prepare(self, logits, labels, class_weights, ignored):
        tf = self.tf
        self.logits, self.labels = tf.constant(logits), tf.constant(labels)

        def loss(x, y):
            if class_weights is None:
                return tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(y, x))
            kept = tf.not_equal(y, ignored)
            known = tf.where(kept, y, 0)
            weights = tf.gather(tf.constant(class_weights, tf.float32), known) * tf.cast(kept, tf.float32)
            return tf.reduce_sum(tf.nn.sparse_softmax_cross_entropy_with_logits(known, x) * weights) / tf.reduce_sum(weights)

        def loss_and_grad(x, y):
            with tf.GradientTape() as tape:
                tape.watch(x)
                value = loss(x, y)
            return value, tape.gradient(value, x)

        self.loss, self.loss_and_grad = tf.function(loss), tf.function(loss_and_grad)

    def call(self, what):
        if what == "loss":
            return self.loss(self.logits, self.labels).numpy(), None
        loss, grad = self.loss_and_grad(self.logits, self.labels)
        return loss.numpy(), grad

    def read(self, grad, indices):
        return grad.numpy().reshape(-1)[indices].tolist()

    def drop(self):
        self.logits = self.labels = self.loss = self.loss_and_grad = None
