"""A Python peer's process: `python serve.py ADAPTER THREADS`. Reads a question per line, answers on a line that begins with "@"; see child.mjs for the
answers. Time is taken here, around the call alone."""

import json
import os
import resource
import sys
import time

LINUX = sys.platform == "linux"
out = os.fdopen(os.dup(1), "w")
# Libraries that print do so beside the answers, not between them.
os.dup2(2, 1)


def say(message):
    out.write("@" + json.dumps(message) + "\n")
    out.flush()


def status(key):
    with open("/proc/self/status") as file:
        line = next(line for line in file if line.startswith(key))
    return int(line.split()[1]) * 1024


def restart_peak():
    """Lets the kernel count the peak from here on; elsewhere than on Linux it counts from the start."""
    if LINUX:
        with open("/proc/self/clear_refs", "w") as file:
            file.write("5")


def peak():
    if LINUX:
        return status("VmHWM:")
    # Bytes on macOS.
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def answer(adapter, question):
    ask = question["ask"]
    if ask == "prepare":
        import numpy

        job = question["job"]
        rows, classes, inner = job["rows"], job["classes"], job["inner"]
        logits = numpy.fromfile(job["logits"], dtype="<f4").reshape((rows, classes) if inner == 1 else (rows // inner, classes, inner))
        labels = numpy.fromfile(job["labels"], dtype="<i4").reshape((rows,) if inner == 1 else (rows // inner, inner))
        adapter.prepare(logits, labels, job.get("classWeights"), job.get("ignored"))
        return {}
    if ask == "run":
        cpu, start = time.process_time(), time.perf_counter()
        loss, grad = adapter.call(question["what"])
        seconds, cpu_seconds = time.perf_counter() - start, time.process_time() - cpu
        read = adapter.read(grad, question["indices"]) if grad is not None and "indices" in question else None
        return {"seconds": seconds, "cpuSeconds": cpu_seconds, "loss": float(loss), "grad": read}
    if ask == "memory":
        restart_peak()
        before = status("VmRSS:") if LINUX else peak()
        loss, _ = adapter.call(question["what"])
        return {"before": before, "peak": peak(), "loss": float(loss)}
    if ask == "drop":
        adapter.drop()
        return {}
    raise ValueError(f"no such question: {ask}")


def first_line(error):
    text = str(error).strip().splitlines()
    return f"{type(error).__name__}: {text[0] if text else ''}"


def main():
    name, threads = sys.argv[1], int(sys.argv[2])
    try:
        from adapters import open_adapter

        adapter = open_adapter(name, threads)
        say({"versions": {**adapter.versions, "Python": sys.version.split()[0]}})
    except Exception as error:
        say({"error": first_line(error)})
        return
    for line in sys.stdin:
        try:
            say(answer(adapter, json.loads(line)))
        except Exception as error:
            say({"error": first_line(error)})


main()
