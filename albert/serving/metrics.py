"""What the service counts, in Prometheus' text format."""

import prometheus_client

CONTENT_TYPE = prometheus_client.CONTENT_TYPE_LATEST
_SECONDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10)
_SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256)


class Metrics:
    """Counters of one service; nothing is shared with another one in the process."""

    def __init__(self):
        self._registry = prometheus_client.CollectorRegistry()
        prometheus_client.ProcessCollector(registry=self._registry)
        self._requests = prometheus_client.Counter(
            "albert_requests",
            "Requests answered, by path and HTTP status.",
            ["path", "status"],
            registry=self._registry,
        )
        self._cut_texts = prometheus_client.Counter(
            "albert_truncated_texts",
            "Texts or pairs that were longer than the model reads, and were cut.",
            ["path"],
            registry=self._registry,
        )
        self._request_seconds = self._histogram(
            "request_seconds", "Arrival to answer of a request.", "path", _SECONDS
        )
        self._batch_seconds = self._histogram(
            "batch_seconds", "Computing a batch.", "model", _SECONDS
        )
        self._batch_texts = self._histogram(
            "batch_texts", "Texts or pairs in a batch.", "model", _SIZES
        )

    def _histogram(self, name, meaning, label, buckets):
        return prometheus_client.Histogram(
            "albert_" + name, meaning, [label], buckets=buckets, registry=self._registry
        )

    def watch(self, name, meaning, function):
        """Adds a gauge whose value is what `function` gives at the time."""
        gauge = prometheus_client.Gauge("albert_" + name, meaning, registry=self._registry)
        gauge.set_function(function)

    def count_request(self, path, status, seconds):
        """Counts an answered request.

        Args:
            path: one of few; names from clients must not get here.
            status: HTTP status, or a word when the client went away.
        """
        self._requests.labels(path, str(status)).inc()
        self._request_seconds.labels(path).observe(seconds)

    def count_cut(self, path, number):
        """Counts texts or pairs that were cut."""
        self._cut_texts.labels(path).inc(number)

    def count_batch(self, model, size, seconds):
        self._batch_texts.labels(model).observe(size)
        self._batch_seconds.labels(model).observe(seconds)

    def render(self):
        """All values, as bytes."""
        return prometheus_client.generate_latest(self._registry)
