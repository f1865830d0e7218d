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
        if unknown:
            storage.write_json(self._path, self._entries)
        self._report_damage(files)
        return [self._record_file(path) for path in files]

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
