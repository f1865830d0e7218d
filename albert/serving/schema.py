"""The service's description in OpenAPI, which /docs shows."""

_TEXT = {"type": "string", "minLength": 1}
_SCORE = {"type": "number"}
# A field of answers that is there only where a text was longer than the model reads: true, or the
# places of such texts in the list.
_TRUNCATED = {
    "oneOf": [{"type": "boolean"}, {"type": "array", "items": {"type": "integer"}}],
    "description": "Texts that were longer than the model reads, and were cut.",
}
_ERROR_MEANINGS = {
    "400": "The body is not what is expected.",
    "404": "The model cannot do this.",
    "408": "The request did not arrive in time.",
    "413": "The body, a text or the list is too large.",
    "415": "The body is not said to be JSON.",
    "429": "Too many requests are waiting; Retry-After says when to come back.",
    "500": "An error of the service.",
    "503": "The service is shutting down.",
    "504": "No answer in time.",
}


def openapi(model, settings):
    """The description as a JSON-able dictionary.

    Args:
        model: `model.ServedModel`.
        settings: `settings.ServiceSettings`, for the limits.
    """
    text = dict(_TEXT, maxLength=settings.max_text_length)
    texts = _array(text, settings.max_texts)
    pairs = _array(dict(_array(text, 2), minItems=2), settings.max_texts)
    vector = _array({"type": "number"})
    result = _result(model)
    one_text, one_pair = {"text": text}, {"text_a": text, "text_b": text}
    return {
        "openapi": "3.0.3",
        "info": {
            "title": "ALBERT for Chinese",
            "version": "1",
            "description": "Model: %s. Bodies are JSON in UTF-8, of at most %d bytes."
            % (model.name, settings.max_body_bytes),
        },
        "paths": {
            "/similarity": _post(
                "How likely two texts mean the same.",
                (one_pair, {"pairs": pairs}),
                ({"score": _SCORE}, {"scores": _array(_SCORE)}),
                {"text_a": "花呗怎么还款", "text_b": "花呗如何还钱"},
            ),
            "/classify": _post(
                "The label of a text or a pair of texts.",
                (one_text, one_pair, {"texts": texts}, {"pairs": pairs}),
                (result, {"results": _array(_object(result))}),
                {"text": "今天天气很好"},
            ),
            "/embed": _post(
                "The vector of a text.",
                (one_text, {"texts": texts}),
                ({"vector": vector}, {"vectors": _array(vector)}),
                {"text": "今天天气很好"},
            ),
            "/health": _get("Whether the service takes requests (200) or is ending (503)."),
            "/metrics": _get("Counters in Prometheus' text format.", "text/plain"),
        },
    }


def _result(model):
    if model.is_regression:
        return {"score": _SCORE}
    labels = {"type": "string"}
    if model.labels:
        labels["enum"] = model.labels
    probabilities = {"type": "object", "additionalProperties": {"type": "number"}}
    return {"label": labels, "probabilities": probabilities}


def _array(items, max_items=None):
    array = {"type": "array", "items": items}
    return array if max_items is None else dict(array, maxItems=max_items)


def _object(properties, **optional):
    return {
        "type": "object",
        "properties": dict(properties, **optional),
        "required": list(properties),
        "additionalProperties": False,
    }


def _content(schema, example=None):
    content = {"schema": schema}
    if example:
        content["example"] = example
    return {"application/json": content}


def _post(summary, bodies, answers, example):
    """A POST whose body and answer have one of several forms."""
    body = {"oneOf": [_object(form) for form in bodies]}
    answer = {"oneOf": [_object(form, truncated=_TRUNCATED) for form in answers]}
    error = _content(_object({"error": {"type": "string"}}))
    responses = {"200": {"description": "Server-Timing has the milliseconds."}}
    responses["200"]["content"] = _content(answer)
    for status, meaning in _ERROR_MEANINGS.items():
        responses[status] = {"description": meaning, "content": error}
    return {
        "post": {
            "summary": summary,
            "requestBody": {"required": True, "content": _content(body, example)},
            "responses": responses,
        }
    }


def _get(summary, media_type="application/json"):
    content = {media_type: {"schema": {}}}
    return {
        "get": {"summary": summary, "responses": {"200": {"description": "", "content": content}}}
    }
