"""The graphs of fine-tuning: of training, and of prediction by the estimator."""

import optimization
from albert.basics.errors import InputError
from albert.basics.tf_compat import tf
from albert.heads.encoder import build_encoder
from albert.model_files import checkpoints
from albert.training import estimator
from albert.training.gradients import compute_gradients
from albert.training.model_fn import initial_weights, training_spec


def step_counts(num_examples, settings):
    """Training steps, and those of them that warm up, rounded down.

    Raises:
        InputError: there is no step.
    """
    num_train_steps = settings.num_train_steps or int(
        num_examples / settings.train_batch_size * settings.num_train_epochs
    )
    if num_train_steps < 1:
        raise InputError(
            "%d training examples, --train_batch_size %d and --num_train_epochs %s make no "
            "step; use a smaller batch or more epochs."
            % (num_examples, settings.train_batch_size, settings.num_train_epochs)
        )
    num_warmup_steps = settings.num_warmup_steps
    if num_warmup_steps is None:
        num_warmup_steps = int(num_train_steps * settings.warmup_proportion)
    return num_train_steps, num_warmup_steps


def build_graph(config, kind, features, is_training, use_one_hot_embeddings=False):
    """`kind.HeadGraph` of a batch: the encoder with the head of a kind of task.

    Args:
        config: model config.
        kind: `kind.Kind` of the task.
        features: dict of tensors, as batches have them.
    """
    model = build_encoder(
        config, kind.encoder_features(features), is_training, use_one_hot_embeddings
    )
    return kind.build(config, model, features, is_training)


def model_fn_builder(
    config,
    settings,
    kind,
    num_train_steps=None,
    num_warmup_steps=None,
    recorder=None,
    watch=None,
    on_loading=None,
):
    """Makes the `model_fn` of fine-tuning for the estimator; see `FinetuningModel`."""
    model = FinetuningModel(
        config, settings, kind, num_train_steps, num_warmup_steps, recorder, watch, on_loading
    )
    return model.model_fn


class FinetuningModel:
    """The model of fine-tuning as the estimator takes it: training and prediction.

    Args:
        config: model config.
        settings: `FinetuningSettings`.
        kind: `kind.Kind` of the task.
        num_train_steps, num_warmup_steps: see `step_counts`; None to predict.
        recorder: `hooks.MeanRecorder` of the training loss, or None.
        watch: `watch.MetricsWatch`, or None.
        on_loading: see `checkpoints.init_from_checkpoint`.
    """

    def __init__(
        self,
        config,
        settings,
        kind,
        num_train_steps=None,
        num_warmup_steps=None,
        recorder=None,
        watch=None,
        on_loading=None,
    ):
        self._config = config
        self._settings = settings
        self._kind = kind
        self._num_train_steps = num_train_steps
        self._num_warmup_steps = num_warmup_steps
        self._recorder = recorder
        self._watch = watch
        self._on_loading = on_loading

    def model_fn(self, features, labels, mode, params):
        """What the estimator calls, for training and prediction."""
        del labels
        if mode == estimator.ModeKeys.PREDICT:
            graph = self._build(features, False)
            predictions = dict(graph.answers, losses=graph.losses)
            return estimator.Spec(mode, predictions=predictions)
        return self._train(features, params["batch_size"])

    def _train(self, features, batch_size):
        settings = self._settings
        scores, gradients = self._gradients(features, batch_size)
        scaffold_fn = initial_weights(
            self._config,
            settings,
            expected_new=self._kind.new_variables,
            on_loading=self._on_loading,
        )
        rate = optimization.learning_rate_schedule(
            tf.train.get_or_create_global_step(),
            settings.learning_rate,
            self._num_train_steps,
            self._num_warmup_steps,
        )
        optimizer = optimization.make_optimizer(
            settings.optimizer, rate, _learning_rate_factors(settings), settings.use_tpu
        )
        step = optimization.build_train_op(
            optimizer,
            rate,
            optimizer.compute_gradients(scores["loss"]) if gradients is None else gradients,
            settings.reference_clip_norm,
            use_tpu=settings.use_tpu,
        )
        spec = training_spec(
            step, scores, self._num_train_steps, settings, scaffold_fn, self._watch
        )
        if self._recorder is not None:
            hooks = [*spec.training_hooks, self._recorder.watch(scores["loss"])]
            spec = spec._replace(training_hooks=hooks)
        return spec

    def _gradients(self, features, batch_size):
        """Training's scores, and gradients unless they are the plain ones of the loss."""
        parts = self._settings.gradient_accumulation_steps
        epsilon = self._settings.adversarial_epsilon
        if parts == 1 and not epsilon:
            return self._training_scores(features), None
        return compute_gradients(self._training_scores, features, batch_size, parts, epsilon)

    def _training_scores(self, features):
        return self._build(features, True).training_scores

    def _build(self, features, is_training):
        use_one_hot = self._settings.use_tpu
        return build_graph(self._config, self._kind, features, is_training, use_one_hot)


def _learning_rate_factors(settings):
    if settings.layerwise_decay == 1.0:
        return None
    names = [checkpoints.variable_name(variable) for variable in tf.trainable_variables()]
    return optimization.layerwise_factors(names, settings.layerwise_decay)
