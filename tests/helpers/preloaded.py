"""What every script imports sooner or later; see processes.py."""

import sklearn.metrics  # noqa: F401

import modeling  # noqa: F401
import optimization  # noqa: F401
from albert.inference import classifiers, vectors  # noqa: F401
from albert.training import model_fn  # noqa: F401
