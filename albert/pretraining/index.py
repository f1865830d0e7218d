"""Every record is read once before training: how many there are, and which are damaged.

The counts make it possible to continue at any record without reading what comes before
(`input.py`).  What was found is kept in `<output_dir>/input_index.json`, so that only
new or changed files are read again.
"""

import concurrent.futures
import os

from absl import logging

from albert.basics import storage
from albert.basics.errors import InputError, reason
from albert.basics.tf_compat import tf
from albert.pretraining import record_files, repair
from albert.pretraining_data.record_reader import compression_type

INDEX_FILE = "input_index.json"
REPAIRED_FOLDER = "repaired_input"
_BATCH = 500
_BUFFER_BYTES = 8 << 20
_THREADS = 4
# Damaged records named in a message.
_NAMED = 3
_CHECK_FAILED = -1
_FRAME_BYTES = 16  # around each record


def copy_index(source, target):
    """Takes over what another folder's run found, where there is anything."""
    path = os.path.join(source, INDEX_FILE)
    if storage.exists(path):
        storage.copy(path, os.path.join(target, INDEX_FILE))


def _shown(items):
    """The first few, and how many more there are."""
    more = " and %d more" % (len(items) - _NAMED) if len(items) > _NAMED else ""
    return ", ".join(items[:_NAMED]) + more


def _told(identity):
    size = "? bytes" if identity["bytes"] is None else "%d bytes" % identity["bytes"]
    return "%s (content %s)" % (size, (identity["content"] or "?")[:8])


class RecordIndex:
    """Counts and checks record files.

    Args:
        output_dir: folder of the run.
        shape: `record_files.RecordShape` that the records must have.
        max_corrupt_records: so many damaged records are left out, over all files.
    """

    def __init__(self, output_dir, shape, max_corrupt_records=0):
        self._output_dir = output_dir
        self._path = os.path.join(output_dir, INDEX_FILE)
        self._expected = list(shape)
        self._features = record_files.record_features(shape)
        self._ends = record_files.value_ends(shape)
        self._limit = max_corrupt_records
        self._entries = {}
        if storage.exists(self._path):
            self._entries = storage.read_json(self._path)

    def read(self, files):
        """Checks files that are new or changed.

        A damaged file is copied without its damaged records to `<output_dir>/repaired_input`.

        Args:
            files: list of paths.

        Returns:
            List of `record_files.RecordFile` in the same order.

        Raises:
            InputError: more damaged records than the limit, or nothing else than these; names
                file and record.
        """
        unknown = [path for path in files if not self._is_known(path)]
        if unknown:
            size = sum(map(storage.file_size, unknown)) / 1e6
            print("Checking all records of %d files (%.1f MB)." % (len(unknown), size), flush=True)
        with concurrent.futures.ThreadPoolExecutor(_THREADS) as pool:
            for path, entry in zip(unknown, pool.map(self._examine, unknown)):
                self._entries[path] = entry
        older = [path for path in files if "content" not in self._entries[path]]
        for path in older:  # earlier versions of this program did not store it
            self._entries[path]["content"] = record_files.content_sample(path)
        if unknown or older:
            storage.write_json(self._path, self._entries)
        self._report_damage(files)
        return [self._record_file(path) for path in files]

    def identities(self, files):
        """What each file is, wherever it lies: a list of dicts with name, bytes and content."""
        return [
            {"name": os.path.basename(path), "bytes": size, "content": self._content(path)}
            for path, size in zip(files, map(storage.file_size, files))
        ]

    def _content(self, path):
        entry = self._entries.get(path, {})
        if "content" in entry and entry["status"] == list(storage.file_status(path)):
            return entry["content"]
        return record_files.content_sample(path)

    def difference(self, before, now):
        """In which files two lists of `identities` differ; for `run_settings`.

        Args:
            before: earlier ones; earlier versions of this program stored paths instead.
            now: the present ones.

        Returns:
            None, or the part of a sentence.
        """
        before = [self._former(file) if isinstance(file, str) else file for file in before]
        names, new_names = ([file["name"] for file in files] for files in (before, now))
        if names != new_names:
            return "input_files were %s and are now %s" % tuple(map(_shown, (names, new_names)))
        changed = [
            "%s had %s and has %s now" % (new["name"], _told(old), _told(new))
            for old, new in zip(before, now)
            if any(old[key] not in (None, new[key]) for key in ("bytes", "content"))
        ]
        return "input_files: %s" % _shown(changed) if changed else None

    def _former(self, path):
        """As one of `identities`, with None for what is not known."""
        entry = self._entries.get(path)
        size = entry["status"][0] if entry else None
        return {"name": os.path.basename(path), "bytes": size, "content": None}

    def change(self, files):
        """A sentence about the first file that is not as it was read, or None.

        Args:
            files: paths that `read` has read.
        """
        for path in files:
            entry = self._entries[path]
            try:
                status = list(storage.file_status(path))
                if status == entry["status"]:
                    continue
                if status[0] == entry["status"][0] and entry["content"] == self._content(path):
                    entry["status"] = status  # only its time is another
                    continue
            except (OSError, tf.errors.OpError) as error:
                return "%s: cannot be read any more (%s)." % (path, reason(error))
            except InputError as error:
                return str(error)
            return (
                "%s: was changed while training read it (%d bytes at the start, %d now); the "
                "records of a run must stay as they are." % (path, entry["status"][0], status[0])
            )
        return None

    def _is_known(self, path):
        entry = self._entries.get(path)
        return (
            entry is not None
            and entry["status"] == list(storage.file_status(path))
            and entry["expected"] == self._expected
            and (not entry["damaged"] or storage.exists(self._repaired_path(path)))
        )

    def _repaired_path(self, path):
        # Files of different folders may have one name.
        name = "%08x-%s" % (repair.checksum(path.encode()), os.path.basename(path))
        return os.path.join(self._output_dir, REPAIRED_FOLDER, name)

    def _record_file(self, path):
        entry = self._entries[path]
        if entry["damaged"]:
            path = self._repaired_path(path)
        return record_files.record_file(path, entry["records"])

    def _examine(self, path):
        status = list(storage.file_status(path))
        try:
            count, damaged = self._count(path), []
        except tf.errors.DataLossError as error:
            count, damaged = self._repair(path, error)
        if not count:
            raise InputError("%s: holds no record." % path)
        return {
            "status": status,
            "expected": self._expected,
            "content": record_files.content_sample(path),
            "records": count,
            "damaged": [{"record": number, "problem": problem} for number, problem in damaged],
        }

    def _count(self, path):
        """Number of records; `tf.errors.DataLossError` if any is damaged."""
        compression = compression_type(path)
        total = size = 0
        with tf.Graph().as_default():
            dataset = tf.data.TFRecordDataset(path, compression, _BUFFER_BYTES).batch(_BATCH)
            dataset = dataset.flat_map(self._checked_sizes).prefetch(4)
            sizes = tf.data.make_one_shot_iterator(dataset).get_next()
            # A session may not take the memory of a GPU only to count.
            with tf.Session(config=tf.ConfigProto(device_count={"GPU": 0})) as session:
                while True:
                    try:
                        count, content = session.run(sizes)
                    except tf.errors.OutOfRangeError:
                        break
                    if count == _CHECK_FAILED:
                        raise tf.errors.DataLossError(None, None, "a record is no example")
                    total += int(count)
                    size += int(content) + int(count) * _FRAME_BYTES
        if not compression and size != storage.file_size(path):
            # TensorFlow takes less than a length for the end of the file.
            raise tf.errors.DataLossError(None, None, "truncated record at %d" % size)
        return total

    def _checked_sizes(self, records):
        """Dataset of one element: number of records in a batch (`_CHECK_FAILED`), their bytes."""

        def check(records):
            batch = tf.io.parse_example(records, self._features)
            checks = [
                tf.debugging.Assert(tf.reduce_all((batch[key] >= 0) & (batch[key] < end)), [key])
                for key, end in self._ends.items()
            ]
            with tf.control_dependencies(checks):
                return tf.size(records), tf.reduce_sum(tf.strings.length(records))

        # The parser puts a bad record into its message as if it were text, at which TensorFlow
        # 1.15 crashes; so its errors stay inside.
        checked = tf.data.Dataset.from_tensors(records).map(check)
        checked = checked.apply(tf.data.experimental.ignore_errors())
        failed = tf.data.Dataset.from_tensors((_CHECK_FAILED, 0))
        return checked.concatenate(failed).take(1)

    def _repair(self, path, error):
        target = self._repaired_path(path)
        os.makedirs(os.path.dirname(target), exist_ok=True)
        compressed = compression_type(path) == "GZIP"
        try:
            count, damaged = repair.write_good_records(
                path, target, compressed, self._find_problem, self._limit
            )
        except repair.TooManyProblems as found:
            raise self._too_many([(path, *pair) for pair in found.problems]) from None
        if not damaged:
            raise InputError("%s: cannot be read (%s)." % (path, reason(error)))
        return count, damaged

    def _find_problem(self, content):
        return record_files.record_problem(content, self._features, self._ends)

    def _report_damage(self, files):
        """Says which records are left out, or raises InputError if they are too many."""
        found = [
            (path, damage["record"], damage["problem"])
            for path in files
            for damage in self._entries[path]["damaged"]
        ]
        if len(found) > self._limit:
            raise self._too_many(found)
        for damage in found:
            logging.warning("%s: record %d is left out: %s.", *damage)

    def _too_many(self, found):
        named = "; ".join("%s: record %d: %s" % damage for damage in found[:_NAMED])
        return InputError(
            "%s%s. %d damaged records were found and --max_corrupt_records is %d; with a larger "
            "number they are left out."
            % (named, "; ..." if len(found) > _NAMED else "", len(found), self._limit)
        )
