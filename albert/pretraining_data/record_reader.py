"""Reading TFRecord files of `tf.train.Example`.

Files may be compressed by gzip or not, each as it is.
"""

import contextlib

from google.protobuf.message import DecodeError

from albert.basics.errors import InputError, reason
from albert.basics.tf_compat import tf

# Two bytes that mark gzip and its only method.  A TFRecord file starts with the length of its
# first record, little-endian: it would have to be 559903 (mod 2**24) to be taken for gzip.
_GZIP_MAGIC = b"\x1f\x8b\x08"


def compression_type(path):
    """How a TFRecord file is compressed, by its first bytes: "GZIP" or "".

    Raises:
        InputError: the file cannot be read.
    """
    with _report_read_errors(path), tf.io.gfile.GFile(path, "rb") as handle:
        return "GZIP" if handle.read(len(_GZIP_MAGIC)) == _GZIP_MAGIC else ""


def read_examples(path):
    """Yields the records of a TFRecord file as `tf.train.Example`.

    Raises:
        InputError: the file cannot be read, is no TFRecord file, or holds something else.
    """
    with _report_read_errors(path):
        options = tf.io.TFRecordOptions(compression_type=compression_type(path))
        for record in tf.io.tf_record_iterator(path, options):
            yield tf.train.Example.FromString(record)


@contextlib.contextmanager
def _report_read_errors(path):
    try:
        yield
    except tf.errors.OpError as error:
        raise InputError("%s: not a readable TFRecord file (%s)." % (path, reason(error))) from None
    except DecodeError:
        raise InputError("%s: a record is not a tf.train.Example." % path) from None
