"""What BertSim, BertClassifier and BertVector share: from texts to the numbers of the engine."""

import collections.abc
import itertools
import threading

import numpy as np
from absl import logging

import tokenization
from albert.basics import forks, storage
from albert.basics.errors import InputError, shown
from albert.inference import defaults
from albert.inference.engine import create_engine
from albert.model_files import checkpoints, model_folder
from albert.text.encoding import encode_counting, missing_content

# Texts among which similar lengths are put together, in batches.
BATCHES_TO_SORT = 32
MIN_SEQ_LENGTH = 5  # as run_classifier.py has it
DEFAULT_SEQ_LENGTH = 128  # where neither the user nor the model's folder tells
_SHOWN_CHARACTERS = 40


class CutItems:
    """Which items of a call were longer than the model reads.

    Attributes:
        places: their indexes.
    """

    def __init__(self):
        self.places = []

    def warn(self, name, max_seq_length, trained_length=None):
        """Says it in the log, if there are any.

        Args:
            name: what the items are.
            max_seq_length: tokens that were left of each.
            trained_length: of the model, where that is more.
        """
        if not self.places:
            return
        remedy = ""
        if trained_length and trained_length > max_seq_length:
            remedy = "; the model was trained with %d" % trained_length
        logging.warning(
            "%d of the %s are longer than %d tokens and were cut, the first is %s[%d]%s.",
            len(self.places),
            name,
            max_seq_length,
            name,
            self.places[0],
            remedy,
        )


class _LoadedModel:
    """A model in memory, and the number of calls that are using it."""

    def __init__(self, engine, encode):
        self.engine = engine
        self.encode = encode
        self.users = 0


class TextModel:
    """A trained model; it is loaded by the first call that needs it.

    All methods may be called from several threads at once.  A process that is forked from this one
    loads the model anew, without TensorFlow's part, and so in float32 only.  Settings that are None
    are those of the module `args` when the object is made.  A subclass has `_head`, and for
    something else than single texts `_split`.

    Attributes:
        items_name: what the items are, in the plural.
        model_dir, batch_size, precision, threads: as given, or from `args`.
        max_seq_length: tokens of a text or a pair at most; longer ones are cut.  As given, or from
            `args`.  Where both say nothing it is None, and once the model is loaded the length of
            its training, or `DEFAULT_SEQ_LENGTH` if its folder does not tell; at any rate not more
            than the model can take.
        tokenizer: `tokenization.FullTokenizer`; None before the model is loaded.
        training_header: names of the columns of the file it was trained on; None where not known.
    """

    items_name = "texts"

    def __init__(
        self,
        batch_size=None,
        model_dir=None,
        precision=None,
        max_seq_length=None,
        threads=None,
        config_file=None,
        vocab_file=None,
        do_lower_case=None,
    ):
        """Takes the settings; opens no file.

        Args:
            batch_size: int; `BATCHES_TO_SORT` times as many texts are sorted by length and handed
                to the engine at a time, which bounds the memory.
            model_dir: folder, or a checkpoint in it; see `model_folder.find_files`.
            precision: one of `engine.PRECISIONS`.
            max_seq_length: int; [CLS] and [SEP] count.
            threads: int; all cores where that is None in `args`, too.
            config_file, vocab_file: to use in place of the folder's.
            do_lower_case: bool, in place of what the folder's task.json says (true, where it has
                none).

        Raises:
            InputError: a number is too small.
        """
        self.model_dir = model_dir or defaults.setting("output_dir")
        self.batch_size = defaults.setting("batch_size") if batch_size is None else batch_size
        self.precision = precision or defaults.setting("precision")
        self.threads = defaults.setting("threads") if threads is None else threads
        self._given_length, self._usual_length = max_seq_length, defaults.setting("max_seq_len")
        self.max_seq_length = self._usual_length if max_seq_length is None else max_seq_length
        self._given_files, self._given_case = (config_file, vocab_file), do_lower_case
        self._default_files = defaults.setting("config_name"), defaults.setting("vocab_file")
        self.tokenizer = self.training_header = None
        self._loaded = self._trained_length = self._identity = None
        self._changed = threading.Condition()  # guards `_loaded` and its `users`
        check_at_least("batch_size", self.batch_size, 1)
        if self.max_seq_length is not None:
            check_at_least("max_seq_length", self.max_seq_length, MIN_SEQ_LENGTH)
        if self.threads is not None:
            check_at_least("threads", self.threads, 1)

    # Life

    def start_model(self):
        """Loads the model, if it is not loaded yet.

        Raises:
            InputError: no checkpoint, files that do not belong together, or settings that the
                model cannot have.
        """
        self._release(self._acquire())

    def close(self):
        """Frees the model when the calls that are using it have ended; the next one loads anew."""
        with self._changed:
            loaded, self._loaded = self._loaded, None
            if loaded is None:
                return
            self._changed.wait_for(lambda: loaded.users == 0)
        loaded.engine.close()

    def _forget(self):
        """In a forked process: what is loaded belongs to the parent, and so may the lock."""
        self._changed = threading.Condition()
        self._loaded = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def _acquire(self):
        with self._changed:
            if self._loaded is None:
                self._loaded = self._load()
            self._loaded.users += 1
            return self._loaded

    def _release(self, loaded):
        with self._changed:
            loaded.users -= 1
            if loaded.users == 0:
                self._changed.notify_all()

    def find_files(self):
        """`model_folder.ModelFiles` by the settings."""
        files = model_folder.find_files(self.model_dir, self._given_files, self._default_files)
        if self._given_case is None:
            return files
        trained = files.task.get("do_lower_case", self._given_case)
        if trained != self._given_case:
            logging.warning(
                "%s: do_lower_case is %s, but the model was trained with %s.",
                self.model_dir,
                self._given_case,
                trained,
            )
        return files._replace(task=dict(files.task, do_lower_case=self._given_case))

    def description(self):
        """What the results depend on, for a file beside them: a JSON-able dictionary.

        Raises:
            InputError: as `start_model`.
        """
        self._release(self._acquire())
        return dict(self._identity, max_seq_length=self.max_seq_length, precision=self.precision)

    def _load(self):
        forks.watch(self, TextModel._forget)
        with forks.held_back():
            return self._load_undivided()

    def _load_undivided(self):
        files = self.find_files()
        shapes = checkpoints.read_shapes(files.checkpoint)
        config = model_folder.load_config(files, shapes)
        head, variables = self._head(files, config, shapes)
        self.max_seq_length = self._length(files, config, head.fixed_length)
        tokenizer = model_folder.load_tokenizer(files, config)
        checkpoints.check_shapes(variables, files.checkpoint, files.config_file)
        encode = _encoder(files, tokenizer, self.max_seq_length)
        engine = create_engine(
            files.checkpoint, config, head, precision=self.precision, threads=self.threads
        )
        self.tokenizer, self._identity = tokenizer, _identity(files)
        return _LoadedModel(engine, encode)

    def _head(self, files, config, shapes):
        """What to compute.

        Args:
            files: `model_folder.ModelFiles`.
            config: the model's config.
            shapes: of the checkpoint, from `checkpoints.read_shapes`.

        Returns:
            `ClassifierHead` or `engine.VectorHead`, and the variables that the checkpoint must
            have, as of the module `variables`.

        Raises:
            InputError: the model has no such head.
        """
        raise NotImplementedError

    def _length(self, files, config, fixed_length):
        """Tokens of a text or a pair at most: the one rule for all models.

        Args:
            fixed_length: that of `ClassifierHead`.

        Raises:
            InputError: more were asked of this model than it can take.
        """
        limit = fixed_length or config.max_position_embeddings
        self._trained_length = files.task.get("max_seq_length")
        self.training_header = files.task.get("table", {}).get("header")
        if self._given_length is None:
            own = min(self._trained_length or DEFAULT_SEQ_LENGTH, limit)
            length = min(self._usual_length or own, limit)
            if self._trained_length and length != own:
                logging.warning(
                    "%s: texts are cut at %d tokens (max_seq_len in %s), but the model was trained "
                    "with %d; None there means the length of training.",
                    self.model_dir,
                    length,
                    defaults.place(),
                    own,
                )
            return length
        if self._given_length > limit:
            raise InputError(
                "max_seq_length %d is more than the %d tokens of the model %s."
                % (self._given_length, limit, files.checkpoint)
            )
        return self._given_length

    # Texts

    def iter_chunks(self, items, cut=None):
        """Computes an iterable of any length, reading ahead by one chunk only.

        Args:
            items: iterable of what the class takes.
            cut: `CutItems`, to which those that were cut are added.  None: a warning in the end
                tells their number.

        Yields:
            List of up to `BATCHES_TO_SORT * batch_size` items, and the engine's float32
            `[number of items, size]` for them, in the same order.

        Raises:
            InputError: an item is no text, or no pair; names its place.
        """
        check_iterable(items)
        items = iter(items)
        place, found = 0, CutItems() if cut is None else cut
        try:
            while True:
                chunk = list(itertools.islice(items, BATCHES_TO_SORT * self.batch_size))
                if not chunk:
                    return
                yield chunk, self._compute(chunk, place, found)
                place += len(chunk)
        finally:
            if cut is None:
                self.warn_of(found)

    def warn_of(self, cut):
        """Says in the log which items were cut, `CutItems`, if any were."""
        cut.warn(self.items_name, self.max_seq_length, self._trained_length)

    def _compute(self, chunk, place, cut):
        texts = [self._split(item, number) for number, item in enumerate(chunk, place)]
        loaded = self._acquire()
        try:
            encoded = []
            for number, (text_a, text_b) in enumerate(texts, place):
                sequence, missing = loaded.encode(text_a, text_b)
                if missing:
                    cut.places.append(number)
                _check_first_token(sequence[0], text_a, self.items_name, number)
                encoded.append(sequence)
            if len(encoded) == 1:
                return loaded.engine.run_one(*encoded[0])[np.newaxis]
            return loaded.engine.run_many(encoded)
        finally:
            self._release(loaded)

    def compute_counted(self, items):
        """Computes items that fit into memory, without a word about those that are cut.

        Args:
            items: list of what the class takes.

        Returns:
            List of (list of floats, whether the item was cut).
        """
        cut = CutItems()
        rows = [row for _, result in self.iter_chunks(items, cut) for row in result.tolist()]
        places = set(cut.places)
        return [(row, number in places) for number, row in enumerate(rows)]

    def _compute_all(self, items):
        """float32 `[number of items, size]`."""
        results = [result for _, result in self.iter_chunks(items)]
        if len(results) == 1:
            return results[0]
        return np.concatenate([*results, self._no_result()])

    def _no_result(self):
        loaded = self._acquire()
        try:
            return np.zeros([0, loaded.engine.output_size], np.float32)
        finally:
            self._release(loaded)

    def _iter_rows(self, items):
        for _, result in self.iter_chunks(items):
            yield from result

    def _split(self, item, place):
        """The two texts of an item, the second None for a single text.

        Args:
            place: its index, for the message.

        Raises:
            InputError: it is none.
        """
        check_text(item, "texts[%d]", place)
        return item, None


def _identity(files):
    """Which model it is, wherever it lies: the index of a checkpoint has a sum of each array."""
    return {
        "checkpoint": files.checkpoint,
        "checkpoint_sha256": storage.sha256(files.checkpoint + ".index"),
        "vocabulary_sha256": storage.sha256(files.spm_file or files.vocab_file),
        "do_lower_case": files.task.get("do_lower_case", True),
    }


def _encoder(files, tokenizer, max_seq_length):
    """`encode_counting` as a function of two texts, of which the second may be None or empty."""
    if not model_folder.uses_preprocess_text(files):
        return lambda text_a, text_b: encode_counting(tokenizer, text_a, text_b, max_seq_length)
    lower = files.task.get("do_lower_case", True)

    def prepare(text):
        return text and tokenization.preprocess_text(text, lower=lower)

    return lambda text_a, text_b: encode_counting(
        tokenizer, prepare(text_a), prepare(text_b), max_seq_length
    )


def check_iterable(items):
    """Raises InputError for what holds no items, a single text above all."""
    if isinstance(items, (str, bytes)) or not isinstance(items, collections.abc.Iterable):
        raise InputError("expected a list, or another iterable, found %s." % show(items))


def check_text(text, name, *numbers, may_be_blank=False):
    """Raises InputError unless `text` is a string with content; `name % numbers` says which."""
    if not isinstance(text, str):
        raise InputError("%s: expected a text, found %s." % (name % numbers, show(text)))
    found = missing_content(text)
    if found and not (may_be_blank and text.strip() == ""):
        raise InputError("%s: expected a text, found %s." % (name % numbers, found))


def _check_first_token(input_ids, text, name, place):
    """What `missing_content` cannot know: a vocabulary of pieces may drop other characters, too."""
    if input_ids[1] == input_ids[-1]:  # [SEP] comes at once
        raise InputError(
            "%s[%d]: expected a text, found one without a token (%s)."
            % (name, place, shown(ascii(text)[1:-1], _SHOWN_CHARACTERS))
        )


def show(value):
    """Type and beginning of something unexpected, for a message."""
    return "%s (%s)" % (shown(repr(value), _SHOWN_CHARACTERS), type(value).__name__)


def check_at_least(name, value, least):
    """Raises InputError unless `value` is an int of at least `least`."""
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise InputError(
            "%s: expected a whole number of at least %d, found %r." % (name, least, value)
        )
