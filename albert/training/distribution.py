"""Data parallel training: replicas on the devices of a process, and several such processes.

The replicas of a process share its variables, which are on the first device and are copied to the
others in every step; ALBERT's are few, as its layers share them.  Processes are the workers of
`worker_cluster.py`.  In a step each replica computes the gradients of an equal part of the batch.
Their mean over all replicas is clipped and applied once, as if one device had computed the batch.

The operations used are in TensorFlow 1.15 to 2.21 alike; MirroredStrategy and
MultiWorkerMirroredStrategy cannot train graphs in sessions in all of them.
"""

import collections
import contextlib
import os
import shutil
import tempfile

from absl import flags

from albert.basics import tf_compat
from albert.basics.errors import InputError
from albert.basics.tf_compat import tf
from albert.training import worker_cluster
from lamb_optimizer import dense_gradient

KINDS = ("none", "mirrored", "multi_worker", "tpu")

flags.disclaim_key_flags()


def create(settings, environment=os.environ):
    """The `Distribution` that the flags ask for.

    Args:
        settings: those of a script, with the fields of `flags.DISTRIBUTION_FLAGS`.
        environment: where TF_CONFIG is looked up.

    Raises:
        InputError: there are no devices, TF_CONFIG is wrong, or the batch cannot be divided.
        worker_cluster.WorkerLost: other workers do not come.
    """
    kind = settings.distribution
    if kind in ("none", "tpu"):
        return Distribution()
    config = tf.ConfigProto(allow_soft_placement=True)
    devices = _devices(kind, settings.num_replicas, config)
    addresses = index = None
    if kind == "multi_worker":
        addresses, index = worker_cluster.parse_tf_config(environment.get("TF_CONFIG"))
    _check_batch(settings, len(addresses or [None]), len(devices))
    cluster = None
    if addresses:
        cluster = worker_cluster.WorkerCluster(addresses, index, config)
    return Distribution(devices, cluster, config)


def _devices(kind, count, config):
    """Device names of this process's replicas; virtual CPUs are added to `config`."""
    gpus = tf_compat.num_gpus()
    if not count:
        count = max(gpus, 1) if kind == "mirrored" else 1
    if gpus:
        if count > gpus:
            raise InputError("--num_replicas is %d, but there are %d GPUs." % (count, gpus))
        return ["/gpu:%d" % number for number in range(count)]
    config.device_count["CPU"] = count
    return ["/cpu:%d" % number for number in range(count)]


def _check_batch(settings, workers, devices):
    parts = workers * devices * settings.gradient_accumulation_steps
    if settings.train_batch_size % parts:
        raise InputError(
            "--train_batch_size is %d; it must be a multiple of %d (%d workers x %d replicas x %d "
            "--gradient_accumulation_steps)."
            % (
                settings.train_batch_size,
                parts,
                workers,
                devices,
                settings.gradient_accumulation_steps,
            )
        )


class Distribution:
    """How the work of a training step is divided; by default one device does all.

    A context manager, which cleans up.

    Args:
        devices: names of this process's devices.
        cluster: `worker_cluster.WorkerCluster`, or None.
        session_config: tf.ConfigProto for sessions, or None.
    """

    def __init__(self, devices=(None,), cluster=None, session_config=None):
        self.devices = list(devices)
        self.cluster = cluster
        self.session_config = session_config
        self._stop = None
        self._folder = None

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        if self._folder:
            shutil.rmtree(self._folder, ignore_errors=True)

    def own_folder(self, output_dir):
        """`output_dir` for the chief, for others a folder that is removed in the end."""
        if self.is_chief:
            return output_dir
        self._folder = self._folder or tempfile.mkdtemp(prefix="albert_worker_%d_" % self.worker)
        return self._folder

    @property
    def is_distributed(self):
        return self.session_config is not None

    @property
    def num_workers(self):
        return self.cluster.num_workers if self.cluster else 1

    @property
    def worker(self):
        """Index of this process."""
        return self.cluster.index if self.cluster else 0

    @property
    def is_chief(self):
        """Whether this process writes checkpoints, events and progress; one does."""
        return self.worker == 0

    @property
    def master(self):
        """Target for the training session."""
        return self.cluster.master if self.cluster else ""

    @property
    def num_replicas(self):
        return self.num_workers * len(self.devices)

    def describe(self, batch_size, accumulation_steps=1):
        """The batch in words, for example ``batch size 32 (4 on each of 2 workers x 1 ...)``."""
        text = "batch size %d" % batch_size
        if self.num_replicas == accumulation_steps == 1:
            return text
        return "%s (global) = %d workers x %d replicas x %d accumulation steps x %d examples" % (
            text,
            self.num_workers,
            len(self.devices),
            accumulation_steps,
            batch_size // (self.num_replicas * accumulation_steps),
        )

    def sum_over_workers(self, tensor):
        """Sum of a float32 tensor over the workers."""
        return self.cluster.sum(tensor) if self.cluster else tensor

    def mean_over_replicas(self, compute, features, batch_size):
        """Scores and gradients of the whole batch.

        Args:
            compute: function of features and their batch size, returning `{name: scalar tensor}`
                and a list of (gradient, variable).
            features: dict of tensors, this worker's part of the batch.
            batch_size: its size.

        Returns:
            What `compute` returns, as means over the replicas of all workers.
        """
        if not self.is_distributed:
            return compute(features, batch_size)
        size = batch_size // len(self.devices)
        results = []
        for place, device in enumerate(self.devices):
            rows = slice(place * size, (place + 1) * size)
            copies = _copies(self.devices[0])
            with tf.device(device), tf.variable_scope(
                tf.get_variable_scope(), reuse=place > 0 or None, custom_getter=copies
            ):
                part = {key: value[rows] for key, value in features.items()}
                results.append(compute(part, size))
        with tf.device(self.devices[0]):
            return self._mean(results)

    def _mean(self, results):
        """As one vector, so that workers exchange one tensor."""
        first_scores, first_pairs = results[0]
        variables = [variable for _, variable in first_pairs]
        flat = []
        for scores, pairs in results:
            values = list(scores.values()) + [dense_gradient(*pair) for pair in pairs]
            flat.append(tf.concat([tf.reshape(value, [-1]) for value in values], axis=0))
        mean = self.sum_over_workers(tf.add_n(flat)) * (1.0 / self.num_replicas)
        shapes = [[]] * len(first_scores) + [variable.shape.as_list() for variable in variables]
        sizes = [int(tf.TensorShape(shape).num_elements()) for shape in shapes]
        means = [tf.reshape(piece, shape) for piece, shape in zip(tf.split(mean, sizes), shapes)]
        scores = collections.OrderedDict(zip(first_scores, means))
        return scores, list(zip(means[len(first_scores) :], variables))

    def chief_values(self, values):
        """The chief's list of integers, whatever other workers pass."""
        return self.cluster.chief_values(values) if self.cluster else values

    def part(self):
        """To be called by all workers when there is nothing more to exchange."""
        if self.cluster:
            self.cluster.part()

    def watched(self):
        """Context in which the process ends when another worker has gone."""
        return self.cluster or contextlib.ExitStack()

    @contextlib.contextmanager
    def failing_together(self):
        """Context for what each worker checks by itself; all leave it together.

        Raises:
            InputError: that of this worker; or another worker had one.
        """
        if not self.cluster:
            yield
            return
        try:
            yield
        except (InputError, OSError):
            self.cluster.any_failed(True)
            raise
        if self.cluster.any_failed(False):
            raise InputError("another worker found something wrong; its message says what.")

    @contextlib.contextmanager
    def training(self):
        """The time in which a training graph is built and run.

        Raises:
            worker_cluster.WorkerLost: another worker ended, or was told to stop.
        """
        if not self.cluster:
            yield
            return
        with worker_cluster.reported_losses():
            with tf.device(self.cluster.device):
                yield
            self.part()
        if self._stop.by_another:
            raise worker_cluster.WorkerLost("it was told to stop.")

    def training_hooks(self, hooks):
        """The session hooks of a worker: first its own, then `hooks`, stopping where all stop."""
        if not self.cluster:
            return hooks
        stoppers = [hook for hook in hooks if hasattr(hook, "stopped")]
        others = [hook for hook in hooks if hook not in stoppers]
        self._stop = _StopTogether(self.cluster, stoppers)
        return [_StartAsChief(self.cluster), self._stop, *others]


def _copies(variable_device):
    """Custom getter: variables on one device, each read once for all uses on another."""
    copies = {}

    def copy(getter, name, *arguments, **keywords):
        if name not in copies:
            with tf.device(variable_device):
                variable = getter(name, *arguments, **keywords)
            copies[name] = tf.identity(variable)
        return copies[name]

    return copy


class _StartAsChief(tf.train.SessionRunHook):
    """Gives every worker the chief's variables: the random ones, or those of its checkpoint."""

    def __init__(self, cluster):
        self._cluster = cluster

    def begin(self):
        self._broadcast = self._cluster.broadcast(tf.global_variables())

    def after_create_session(self, session, coord):
        with worker_cluster.reported_losses():
            session.run(self._broadcast)


class _StopTogether(tf.train.SessionRunHook):
    """Ends training on all workers after the same step as soon as one wants to.

    Args:
        cluster: `worker_cluster.WorkerCluster`.
        stoppers: `signals.StopOnSignal`s; they are not run themselves.

    Attributes:
        by_another: whether training ended because of another worker.
    """

    def __init__(self, cluster, stoppers):
        self._cluster = cluster
        self._stoppers = stoppers
        self.by_another = False

    def _wanted(self):
        return any(hook.stopped for hook in self._stoppers)

    def begin(self):
        self._wish = tf.placeholder_with_default(0.0, [], "stop_wish")
        self._wishes = self._cluster.sum(self._wish)

    def before_run(self, run_context):
        return tf.train.SessionRunArgs(self._wishes, {self._wish: float(self._wanted())})

    def after_run(self, run_context, run_values):
        for hook in self._stoppers:
            hook.step_done()
        if run_values.results:
            run_context.request_stop()
            self.by_another = not self._wanted()
