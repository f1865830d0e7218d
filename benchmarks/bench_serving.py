"""The service under load: speed, overload, malformed requests, memory, and its end.

    python benchmarks/bench_serving.py --seconds=60

Ends with an error if a request is not answered as it must be.  See benchmarks/README.md.
"""

import argparse
import asyncio
import collections
import itertools
import json
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import urllib.request

import bench_similarity
import contenders
import load_client
import numpy as np
from malformed_requests import http_request, malformed_requests

PATH = b"/similarity"
OVERLOAD_CONNECTIONS = 256
OVERLOAD_PAIRS = 16  # in a request; times the connections more than the queue takes
MALFORMED_CONNECTIONS = 16


class Failed(Exception):
    """The service did not do what it must."""


class Service:
    """serve.py in a process of its own."""

    def __init__(self, folder, arguments):
        self._process = subprocess.Popen(
            [
                sys.executable,
                os.path.join(contenders.ROOT, "serve.py"),
                "--model_dir=" + folder,
                "--port=0",
                *arguments,
            ],
            stdout=subprocess.PIPE,
        )
        line = self._process.stdout.readline().decode("utf-8")
        found = re.search(r"http://(127\.0\.0\.1):(\d+) ", line)
        if not found:
            raise Failed("the service did not start")
        self.address = found.group(1), int(found.group(2))

    def memory(self):
        """Resident bytes."""
        return self._metric("process_resident_memory_bytes")

    def batches(self):
        """Number of batches that the classifier has computed."""
        return self._metric('albert_batch_texts_count{model="classifier"}')

    def _metric(self, name):
        with urllib.request.urlopen("http://%s:%d/metrics" % self.address) as response:
            lines = response.read().decode().splitlines()
        return float(dict(line.rsplit(" ", 1) for line in lines).get(name, 0))

    def terminate(self):
        self._process.send_signal(signal.SIGTERM)

    def exit_status(self):
        return self._process.wait(60)

    def kill(self):
        self._process.kill()
        self._process.wait()


class Tally:
    """Counts of statuses and times of the answers with status 200."""

    def __init__(self):
        self.statuses = collections.Counter()
        self.seconds = []

    def add(self, exchange):
        self.statuses[exchange.status] += 1
        if exchange.status == 200:
            self.seconds.append(exchange.seconds)

    def __str__(self):
        statuses = sorted(self.statuses.items(), key=str)
        return ", ".join("%s: %d" % status for status in statuses)

    def percentiles(self):
        return "p50 %.1f ms, p99 %.1f ms, maximum %.1f ms" % tuple(
            1000 * np.percentile(self.seconds, [50, 99, 100])
        )


class Requests:
    """The pairs as requests, by turns."""

    def __init__(self, pairs):
        bodies = (json.dumps({"text_a": a, "text_b": b}, ensure_ascii=False) for a, b in pairs)
        self._requests = [
            (number, http_request(body.encode("utf-8"), PATH)) for number, body in enumerate(bodies)
        ]
        self._turns = itertools.cycle(self._requests)

    def until(self, end):
        """Function for `load_client.keep_busy` that stops at a time of the event loop."""

        def next_request():
            return None if asyncio.get_event_loop().time() > end else next(self._turns)

        return next_request

    def endless(self):
        return lambda: next(self._turns)


def main():
    options = parse_options()
    contenders.silence_warnings()
    print(contenders.describe(os.cpu_count(), ["tensorflow", "numpy", "uvicorn", "starlette"]))

    import tokenization

    with tempfile.TemporaryDirectory() as folder:
        tokenizer = tokenization.FullTokenizer(bench_similarity.write_vocabulary(folder))
        bench_similarity.write_model(folder)
        pairs = bench_similarity.make_pairs(options.pairs, tokenizer)
        expected = expected_scores(folder, pairs)
        service = Service(folder, ["--precision=" + options.precision, *options.serve])
        try:
            asyncio.run(run(service, pairs, expected, options))
        except Failed as error:
            sys.exit("FAILED: %s" % error)
        finally:
            service.kill()


def parse_options():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--seconds", type=float, default=60, help="of the load")
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--malformed", type=int, default=10000, help="requests")
    parser.add_argument("--pairs", type=int, default=2000)
    parser.add_argument("--precision", default="float32")
    parser.add_argument("serve", nargs="*", help="further flags of serve.py, after --")
    return parser.parse_args()


def expected_scores(folder, pairs):
    """Scores without the service, in float32."""
    from albert.inference.classifiers import BertSim

    with BertSim(model_dir=folder) as sim:
        return sim.predict_proba(pairs)[:, 1]


async def run(service, pairs, expected, options):
    requests = Requests(pairs)
    tolerance = 1e-5 if options.precision == "float32" else 0.1
    check = Checker(expected, tolerance)
    await measure_load(service, requests, check, "one connection", 1, min(5, options.seconds))
    await measure_load(service, requests, check, "load", options.connections, options.seconds)
    await overload(service, pairs, min(5, options.seconds))
    await measure_load(
        service, requests, check, "recovered", options.connections, min(5, options.seconds)
    )
    await send_malformed(service, options.malformed)
    await terminate_under_load(service, requests, check, options.connections)


class Checker:
    """Ends the benchmark where a score is not the expected one."""

    def __init__(self, expected, tolerance):
        self._expected, self._tolerance = expected, tolerance

    def __call__(self, number, exchange):
        score = json.loads(exchange.body.decode("utf-8"))["score"]
        if not abs(score - self._expected[number]) <= self._tolerance:
            expected = self._expected[number]
            raise Failed("pair %d: score %g, expected %g" % (number, score, expected))


def expect(condition, message):
    if not condition:
        raise Failed(message)


async def measure_load(service, requests, check, title, connections, seconds):
    """Prints requests per second, latency and memory; every answer must be right."""
    tally = Tally()

    def on_exchange(number, exchange):
        tally.add(exchange)
        if exchange.status == 200:
            check(number, exchange)

    before = service.memory()
    batches = service.batches()
    loop = asyncio.get_event_loop()
    start = loop.time()
    await load_client.keep_busy(
        service.address, connections, requests.until(start + seconds), on_exchange
    )
    seconds = loop.time() - start
    batches = service.batches() - batches
    print(
        "%-14s  %d connections, %.0f s: %.0f requests/s, %s; %.1f pairs in a batch; statuses %s; "
        "memory %s"
        % (
            title,
            connections,
            seconds,
            tally.statuses[200] / seconds,
            tally.percentiles(),
            tally.statuses[200] / batches,
            tally,
            grown(before, service.memory()),
        )
    )
    expect(set(tally.statuses) == {200}, "requests without an answer")


def grown(before, after):
    return "%.1f MB before, %.1f MB after" % (before / 1e6, after / 1e6)


async def overload(service, pairs, seconds):
    """More than the queue takes: some get 429, the others an answer."""
    body = json.dumps({"pairs": pairs[:OVERLOAD_PAIRS]}).encode("utf-8")
    data = http_request(body, PATH)
    tally = Tally()
    loop = asyncio.get_event_loop()
    end = loop.time() + seconds
    await load_client.keep_busy(
        service.address,
        OVERLOAD_CONNECTIONS,
        lambda: None if loop.time() > end else (0, data),
        lambda _, exchange: tally.add(exchange),
        pause_after=(429,),
    )
    print(
        "%-14s  %d connections with %d pairs each, %.0f s: statuses %s; %s"
        % (
            "overload",
            OVERLOAD_CONNECTIONS,
            OVERLOAD_PAIRS,
            seconds,
            tally,
            tally.percentiles(),
        )
    )
    expect(set(tally.statuses) == {200, 429}, "expected 200 and 429")


async def send_malformed(service, number):
    """Each gets a status of 400 to 499; the memory does not grow from the first tenth on."""
    from albert.serving import settings

    tallies = collections.defaultdict(Tally)
    requests = malformed_requests(settings.ServiceSettings(), random.Random(1))

    def on_exchange(kind, exchange):
        tallies[kind].add(exchange)
        expect(
            isinstance(exchange.status, int) and 400 <= exchange.status < 500,
            "%s: %s" % (kind, exchange.status),
        )

    memory = []
    for count in (number // 10, number - number // 10):
        part = itertools.islice(requests, count)
        await load_client.keep_busy(
            service.address,
            MALFORMED_CONNECTIONS,
            lambda part=part: next(part, None),
            on_exchange,
            # After some of them the service cannot know where the next request begins.
            keep_alive=False,
        )
        memory.append(service.memory())
    print("%-14s  %d requests; memory %s" % ("malformed", number, grown(*memory)))
    for kind, tally in tallies.items():
        print("%-14s  %-18s %s" % ("", kind, tally))


async def terminate_under_load(service, requests, check, connections):
    """SIGTERM in the middle: what was taken is answered, the rest is told so."""
    tally = Tally()
    loop = asyncio.get_event_loop()

    def on_exchange(number, exchange):
        tally.add(exchange)
        if exchange.status == 200:
            check(number, exchange)
        return exchange.status == 200

    loop.call_later(2, service.terminate)
    await load_client.keep_busy(service.address, connections, requests.endless(), on_exchange)
    status = await loop.run_in_executor(None, service.exit_status)
    print(
        "%-14s  %d connections: statuses %s; exit status %d"
        % ("SIGTERM", connections, tally, status)
    )
    expect(set(tally.statuses) <= {200, 503, "refused"}, "requests without an answer")
    expect(status == 0, "exit status %d" % status)


if __name__ == "__main__":
    main()
