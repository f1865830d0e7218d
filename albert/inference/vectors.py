"""The most similar vectors by cosine."""

import numpy as np

from albert.basics.storage import InputError

_ROWS_AT_A_TIME = 1 << 16


def cosine(vector_a, vector_b):
    """Cosine of the angle between two vectors, a float; 0 if one is zero."""
    return float(_unit(np.asarray(vector_a)) @ _unit(np.asarray(vector_b)))


def most_similar(query_vectors, vectors, top_k=10):
    """For each query the vectors with the largest cosine, best first.

    Args:
        query_vectors: float `[number of queries, size]`, or `[size]` for one.
        vectors: float `[number, size]`; also a memory map of a .npy file, which is read in parts.
        top_k: how many to find.

    Returns:
        Indices (int64) and cosines (float32), both `[number of queries, min(top_k, number)]`, or
        one axis for one query.  Of equal ones the lower index comes first; the cosine with a zero
        vector is 0.

    Raises:
        InputError: the sizes differ, or top_k is below 1.
    """
    queries = np.asarray(query_vectors, np.float32)
    if queries.ndim not in (1, 2) or len(np.shape(vectors)) != 2:
        raise InputError(
            "expected query vectors [number, size] and vectors [number, size], found the shapes "
            "%s and %s." % (list(queries.shape), list(np.shape(vectors)))
        )
    if queries.shape[-1] != np.shape(vectors)[1]:
        raise InputError(
            "the query vectors have %d numbers and the vectors to search %d; expected those of one "
            "model with the same layers." % (queries.shape[-1], np.shape(vectors)[1])
        )
    if top_k < 1:
        raise InputError("top_k is %d; expected at least 1." % top_k)
    indices, scores = _search(_unit(np.atleast_2d(queries)), vectors, top_k)
    return (indices[0], scores[0]) if queries.ndim == 1 else (indices, scores)


def _search(queries, vectors, top_k):
    indices = np.zeros([len(queries), 0], np.int64)
    scores = np.zeros([len(queries), 0], np.float32)
    for start in range(0, len(vectors), _ROWS_AT_A_TIME):
        block = _unit(np.asarray(vectors[start : start + _ROWS_AT_A_TIME], np.float32))
        numbers = np.broadcast_to(start + np.arange(len(block)), [len(queries), len(block)])
        indices = np.concatenate([indices, numbers], axis=1)
        scores = np.concatenate([scores, queries @ block.T], axis=1)
        best = np.argsort(-scores, axis=1, kind="stable")[:, :top_k]
        indices = np.take_along_axis(indices, best, axis=1)
        scores = np.take_along_axis(scores, best, axis=1)
    return indices, scores


def _unit(vectors):
    """Vectors of length 1; zero ones stay zero."""
    lengths = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return np.divide(vectors, lengths, out=np.zeros_like(vectors), where=lengths > 0)
