"""What BertSim, BertClassifier and BertVector share: from texts to the numbers of the engine."""

import collections.abc
import itertools
import threading

import numpy as np

import args
import tokenization
from albert.basics.errors import InputError, shown
from albert.inference.engine import create_engine
from albert.model_files import checkpoints, model_folder
from albert.text.encoding import encode_pair

# Texts among which similar lengths are put together, in batches.
BATCHES_TO_SORT = 32
MIN_SEQ_LENGTH = 5  # as run_classifier.py has it
DEFAULT_SEQ_LENGTH = 128  # where neither the user nor the model's folder tells
_SHOWN_CHARACTERS = 40


class _LoadedModel:
    """A model in memory, and the number of calls that are using it."""

    def __init__(self, engine, encode):
        self.engine = engine
        self.encode = encode
        self.users = 0


class TextModel:
    """A trained model; it is loaded by the first call that needs it.

    All methods may be called from several threads at once.  Settings that are None are those of
    the module `args` when the object is made.  A subclass has `_head`, and for something else
    than single texts `_split`.

    Attributes:
        model_dir, batch_size, precision, threads: as given, or from `args`.
        max_seq_length: tokens of a text or a pair at most; longer ones are cut.  As given, or from
            `args`.  Where both say nothing it is None, and once the model is loaded the length of
            its training, or `DEFAULT_SEQ_LENGTH` if its folder does not tell; at any rate not more
            than the model can take.
        tokenizer: `tokenization.FullTokenizer`; None before the model is loaded.
    """

    def __init__(
        self,
        batch_size=None,
        model_dir=None,
        precision=None,
        max_seq_length=None,
        threads=None,
        config_file=None,
        vocab_file=None,
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

        Raises:
            InputError: a number is too small.
        """
        self.model_dir = model_dir or args.output_dir
        self.batch_size = args.batch_size if batch_size is None else batch_size
        self.precision = precision or args.precision
        self.threads = args.threads if threads is None else threads
        self.max_seq_length = args.max_seq_len if max_seq_length is None else max_seq_length
        self._given_length, self._usual_length = max_seq_length, args.max_seq_len
        self._given_files = config_file, vocab_file
        self._default_files = args.config_name, args.vocab_file
        self.tokenizer = None
        self._loaded = None
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
        return model_folder.find_files(self.model_dir, self._given_files, self._default_files)

    def _load(self):
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
        self.tokenizer = tokenizer
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
        if self._given_length is None:
            trained = files.task.get("max_seq_length", DEFAULT_SEQ_LENGTH)
            return min(self._usual_length or trained, limit)
        if self._given_length > limit:
            raise InputError(
                "max_seq_length %d is more than the %d tokens of the model %s."
                % (self._given_length, limit, files.checkpoint)
            )
        return self._given_length

    # Texts

    def iter_chunks(self, items):
        """Computes an iterable of any length, reading ahead by one chunk only.

        Args:
            items: iterable of what the class takes.

        Yields:
            List of up to `BATCHES_TO_SORT * batch_size` items, and the engine's float32
            `[number of items, size]` for them, in the same order.

        Raises:
            InputError: an item is no text, or no pair; names its place.
        """
        check_iterable(items)
        items = iter(items)
        place = 0
        while True:
            chunk = list(itertools.islice(items, BATCHES_TO_SORT * self.batch_size))
            if not chunk:
                return
            yield chunk, self._compute(chunk, place)
            place += len(chunk)

    def _compute(self, chunk, place=0):
        texts = [self._split(item, number) for number, item in enumerate(chunk, place)]
        loaded = self._acquire()
        try:
            encoded = [loaded.encode(text_a, text_b) for text_a, text_b in texts]
            if len(encoded) == 1:
                return loaded.engine.run_one(*encoded[0])[np.newaxis]
            return loaded.engine.run_many(encoded)
        finally:
            self._release(loaded)

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


def _encoder(files, tokenizer, max_seq_length):
    """Function of two texts, the second may be None or empty: ids and segment ids, two lists."""
    if not model_folder.uses_preprocess_text(files):
        return lambda text_a, text_b: encode_pair(tokenizer, text_a, text_b, max_seq_length)
    lower = files.task.get("do_lower_case", True)

    def prepare(text):
        return text and tokenization.preprocess_text(text, lower=lower)

    return lambda text_a, text_b: encode_pair(
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
    if not may_be_blank and (not text or text.isspace()):
        raise InputError("%s: expected a text, found an empty one." % (name % numbers))


def show(value):
    """Type and beginning of something unexpected, for a message."""
    return "%s (%s)" % (shown(repr(value), _SHOWN_CHARACTERS), type(value).__name__)


def check_at_least(name, value, least):
    """Raises InputError unless `value` is an int of at least `least`."""
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise InputError(
            "%s: expected a whole number of at least %d, found %r." % (name, least, value)
        )
