"""Makes the golden files: `make.py` all of them, `make.py torch keras` the named ones. Each peer runs in a process of its own: they share no state."""
import pathlib
import subprocess
import sys

PEERS = ("torch", "torch_terms", "tensorflow", "keras", "onnx", "optax", "mpmath")


def make():
    wanted = sys.argv[1:] or PEERS
    unknown = set(wanted) - set(PEERS)
    if unknown:
        raise SystemExit(f"no such peer: {', '.join(sorted(unknown))}; expected {', '.join(PEERS)}")
    for peer in wanted:
        subprocess.run([sys.executable, "-B", pathlib.Path(__file__).parent / f"from_{peer}.py"], check=True)


if __name__ == "__main__":
    make()
