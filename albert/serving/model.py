"""The model behind the service: one folder, loaded for what it can do."""

import os

from albert.basics.errors import InputError
from albert.inference.classifiers import BertSim
from albert.inference.vectors import BertVector
from albert.model_files import checkpoints


class ServedModel:
    """Functions of a model folder; all may be called from several threads at once.

    Attributes:
        name: the folder's.
        labels: list of names, None if the model is no classifier; empty for a regression.
        is_regression: whether the classifier gives a number.
        score_column: column of the score of two texts, or None.
        classify: function of a list of (text_a, text_b), where text_b is "" for single texts;
            gives a list of (numbers, one for each label; whether the texts were cut).  None if the
            model is no classifier.
        embed: function of a list of (text, ""); gives a list of (vector; whether the text was cut),
            or None.
    """

    def __init__(self, embed=True, **settings):
        """Loads the model.

        Args:
            embed: whether to load it for vectors, too.
            settings: arguments of `text_model.TextModel`.

        Raises:
            InputError: as `TextModel.start_model`; or the folder has nothing to serve.
        """
        self._models = []
        self.labels, self.is_regression, self.score_column = None, False, None
        self.classify = self.embed = None
        model = BertSim(**settings)
        folder = model.model_dir
        self.name = os.path.basename(os.path.normpath(folder))
        if checkpoints.is_classifier(checkpoints.read_shapes(model.find_files().checkpoint)):
            classifier = self._start(model)
            self.labels, self.is_regression = classifier.labels, classifier.is_regression
            self.score_column = _score_column(classifier)
            self.classify = classifier.compute_counted
        if embed:
            vectors = self._start(BertVector(**settings))
            self.embed = lambda items: vectors.compute_counted([text for text, _ in items])
        if not self._models:
            raise InputError(
                "--noembed: the model in '%s' is no classifier, so nothing is left to serve."
                % folder
            )

    def _start(self, model):
        model.start_model()
        self._models.append(model)
        return model

    def close(self):
        """Frees the memory; the functions must not be running."""
        for model in self._models:
            model.close()


def _score_column(classifier):
    try:
        return classifier.score_column()
    except InputError:  # it has too many labels
        return None
