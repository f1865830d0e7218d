"""The service as an ASGI application: paths, answers and errors."""

import asyncio
import functools
import os
import time
from typing import Dict, List, NamedTuple

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from albert.basics import storage
from albert.serving import requests
from albert.serving.gate import Gate, error_response
from albert.serving.metrics import CONTENT_TYPE, Metrics
from albert.serving.queue import BatchQueue, QueueFull
from albert.serving.requests import RequestError
from albert.serving.schema import openapi

_FOLDER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "pages")
PAGES = {"/": "page.html", "/docs": "docs.html"}

# The pages are complete by themselves, and may talk to this service only.
_PAGE_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; "
    "script-src 'unsafe-inline'; connect-src 'self'; img-src data:; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}


class _Answer(NamedTuple):
    """What the model says to a request.

    Attributes:
        many: whether the request has one of the forms for many.
        rows: list of floats for each text or pair.
        cut: places of those that were longer than the model reads.
        headers: dictionary.
    """

    many: bool
    rows: List[List[float]]
    cut: List[int]
    headers: Dict[str, str]

    def response(self, content):
        """JSON with this content and, if texts were cut, a field that says so."""
        if self.cut:
            content = dict(content, truncated=self.cut if self.many else True)
        return JSONResponse(content, headers=self.headers)


class Service:
    """A model behind HTTP.

    Attributes:
        app: the ASGI application, a `Gate`.
        queues: dictionary "classifier", "encoder" -> `BatchQueue`, of what the model can do.
    """

    def __init__(self, model, settings):
        """Takes a `model.ServedModel`, or what looks like it, and `ServiceSettings`."""
        self._model, self._settings = model, settings
        self._metrics = Metrics()
        functions = {"classifier": model.classify, "encoder": model.embed}
        self.queues = {
            name: self._make_queue(name, function)
            for name, function in functions.items()
            if function
        }
        routes = self._routes()
        app = Starlette(
            routes=routes,
            exception_handlers={
                RequestError: _as_json,
                HTTPException: _http_error,
                QueueFull: _queue_full,
                asyncio.TimeoutError: self._too_late,
                Exception: _internal_error,
            },
        )
        app.router.redirect_slashes = False
        self.app = Gate(app, [route.path for route in routes], settings, self._metrics)
        self._metrics.watch("active_requests", "Requests being worked on.", lambda: self.app.active)

    def close(self):
        """Ends the worker threads."""
        for queue in self.queues.values():
            queue.close()

    def _make_queue(self, name, function):
        settings = self._settings
        queue = BatchQueue(
            function,
            batch_size=settings.batch_size,
            max_waiting=settings.queue_size,
            max_wait=settings.max_wait_ms / 1000,
            workers=settings.workers,
            on_batch=functools.partial(self._metrics.count_batch, name),
        )
        self._metrics.watch(
            name + "_waiting_texts", "Texts or pairs in the queue.", lambda: queue.waiting
        )
        return queue

    def _routes(self):
        posts = {"/similarity": self.similarity, "/classify": self.classify, "/embed": self.embed}
        schema = JSONResponse(openapi(self._model, self._settings))
        gets = {
            "/health": self.health,
            "/metrics": self.metrics,
            "/openapi.json": _always(schema),
        }
        for path, name in PAGES.items():
            content = storage.read_bytes(os.path.join(_FOLDER, name))
            gets[path] = _always(HTMLResponse(content, headers=_PAGE_HEADERS))
        return [
            Route(path, function, methods=[method])
            for method, functions in (("POST", posts), ("GET", gets))
            for path, function in functions.items()
        ]

    # What the model does

    async def similarity(self, request):
        answer = await self._answer(request, "classifier")
        scores = [row[self._model.score_column] for row in answer.rows]
        return answer.response({"scores": scores} if answer.many else {"score": scores[0]})

    async def classify(self, request):
        answer = await self._answer(request, "classifier")
        results = [self._result(row) for row in answer.rows]
        return answer.response({"results": results} if answer.many else results[0])

    async def embed(self, request):
        answer = await self._answer(request, "encoder")
        rows = answer.rows
        return answer.response({"vectors": rows} if answer.many else {"vector": rows[0]})

    def _obstacle(self, path):
        """Why the model cannot do what a path is for; None if it can."""
        if path == "/embed":
            return None if "encoder" in self.queues else "the service was started with --noembed"
        if "classifier" not in self.queues:
            return "it is no classifier"
        if path == "/similarity" and self._model.score_column is None:
            return "it has %d labels, and a score needs two" % len(self._model.labels)
        return None

    def _result(self, row):
        if self._model.is_regression:
            return {"score": row[0]}
        labels = self._model.labels
        best = max(range(len(row)), key=row.__getitem__)
        return {"label": labels[best], "probabilities": dict(zip(labels, row))}

    async def _answer(self, request, queue):
        """`_Answer` to a request that the model named `queue` answers."""
        start = time.perf_counter()
        path = request.url.path
        obstacle = self._obstacle(path)
        if obstacle:
            raise RequestError(
                404,
                "%s is not available for the model '%s': %s." % (path, self._model.name, obstacle),
            )
        requests.check_headers(request.headers)
        value = requests.parse_object(await request.body())
        forms = requests.FORMS[path]
        items, many = requests.items_of(value, forms, self._settings)
        if not items:
            return _Answer(many, [], [], {})
        outcome = await self.queues[queue].submit(items, self._settings.request_timeout)
        cut = [place for place, (_, is_cut) in enumerate(outcome.values) if is_cut]
        self._metrics.count_cut(path, len(cut))
        seconds = (outcome.waited, outcome.computed, time.perf_counter() - start)
        timing = "queue;dur=%.2f, model;dur=%.2f, total;dur=%.2f" % tuple(
            1000 * value for value in seconds
        )
        rows = [row for row, _ in outcome.values]
        return _Answer(many, rows, cut, {"Server-Timing": timing})

    # What tells about the service

    async def health(self, request):
        del request
        model = self._model
        state = {
            "status": "shutting down" if self.app.draining else "ok",
            "model": model.name,
            "labels": model.labels,
            "paths": [path for path in requests.FORMS if not self._obstacle(path)],
        }
        return JSONResponse(state, 503 if self.app.draining else 200)

    async def metrics(self, request):
        del request
        headers = {"Content-Type": CONTENT_TYPE}
        return Response(self._metrics.render(), headers=headers)

    def _too_late(self, request, error):
        del error
        return _as_json(
            request,
            RequestError(
                504, "No answer within %d s; retry later." % self._settings.request_timeout
            ),
        )


def _always(response):
    async def answer(request):
        del request
        return response

    return answer


def _as_json(request, error):
    del request
    return error_response(error)


def _http_error(request, error):
    if error.status_code == 405:
        allowed = error.headers["Allow"]
        message = "%s takes another method; expected %s." % (request.url.path, allowed)
    else:
        message = "There is nothing at this path; /docs tells what there is."
    return _as_json(request, RequestError(error.status_code, message, error.headers))


def _queue_full(request, error):
    return _as_json(
        request,
        RequestError(
            429,
            "Too many texts are waiting; retry in %d s." % error.retry_after,
            {"Retry-After": str(error.retry_after)},
        ),
    )


def _internal_error(request, error):
    """The error itself is raised again by Starlette, and logged."""
    del error
    return _as_json(request, RequestError(500, "Internal error; the service's log tells more."))
