"""Measure a server whose latency is known, with the load that `load_test` puts on real ones:

    python benchmarks/queueing.py

One worker answers in the order of arrival, in exponential times of a known mean; arrivals are a
Poisson process. Two answers are known then: from the times that the server drew, each request's
latency (Lindley's recursion), and without them the latency's distribution, exponential with rate
1/mean - arrivals a second (the M/M/1 queue), from which so few requests stray by chance. Prints one
JSON line: for each utilization the measured median and p99, and how far they lie, as a fraction,
from both.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import tempfile
import urllib.request
from pathlib import Path
from typing import Any

import numpy as np
from measure import machine

from tunebench.config.inference import Server
from tunebench.serving import servers
from tunebench.serving.load import Load, guidellm

SERVER = Path(__file__).resolve().parents[1] / "tests" / "openai_server.py"
PERCENTS = (50, 99)


def main() -> None:
    """Load the server at each utilization and print one line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--service-s", type=float, default=0.25, help="mean seconds a request")
    parser.add_argument("--requests", type=int, default=200, help="at each utilization")
    parser.add_argument("--utilizations", type=float, nargs="+", default=[0.3, 0.5, 0.7])
    given = parser.parse_args()
    found = {str(share): measure(share, given) for share in given.utilizations}
    print(
        json.dumps(
            {
                "benchmark": "queueing",
                "machine": machine(),
                "service_s": given.service_s,
                "requests": given.requests,
                "utilizations": found,
            }
        )
    )


def measure(utilization: float, given: Any) -> dict[str, float]:
    """One utilization: measured percentiles, and how far theory's lie from them."""
    rate = utilization / given.service_s
    command = f"{sys.executable} {SERVER} {{port}} --model {{model}} --service-s {given.service_s}"
    artifact = servers.Artifact("base", Path("none"), "float32")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        server = Server(command=command, ready_within_s=60.0)
        with (
            servers.running("known", server, artifact, folder / "server.log") as endpoint,
            guidellm(
                endpoint, ["a prompt"], body={"max_tokens": 1}, timeout_s=600.0, log=folder / "log"
            ) as source,
        ):
            source.load(None, 3, seed=0)
            load = source.load(rate, given.requests, seed=1)
            with urllib.request.urlopen(f"{endpoint.url}/served") as answer:
                service_s = [seconds for _, seconds, _ in json.load(answer)][3:]
    latencies = [request.seconds("latency") for request in load.requests]
    known = one_by_one(load, service_s)
    told = {"offered_rps": rate, "errors": len(load.requests) - len(load.successful)}
    for percent in PERCENTS:
        measured = float(np.percentile(latencies, percent))
        exact = float(np.percentile(known, percent))
        formula = -math.log(1 - percent / 100) / (1 / given.service_s - rate)
        told |= {
            f"latency_p{percent}_s": round(measured, 4),
            f"p{percent}_over_lindley": round(measured / exact - 1, 4),
            f"p{percent}_over_mm1": round(measured / formula - 1, 4),
        }
    return told


def one_by_one(load: Load, service_s: list[float]) -> list[float]:
    """Each request's latency by Lindley's recursion, from when it was due."""
    free, found = 0.0, []
    in_order = sorted(load.requests, key=lambda request: request.due)
    for request, seconds in zip(in_order, service_s, strict=True):
        free = max(free, request.due) + seconds
        found.append(free - request.due)
    return found


if __name__ == "__main__":
    main()
