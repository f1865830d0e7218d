"""Optimizers and schedule against trajectories of the reference implementations."""

import json
import logging
import os

import numpy as np
import pytest

import optimization_finetuning
from albert.basics.errors import InputError
from albert.basics.tf_compat import tf
from helpers.models import train_step
from lamb_optimizer import LAMBOptimizer
from optimization import (
    CLIP_NORM,
    HYPER_PARAMETERS,
    OPTIMIZERS,
    AdamWeightDecayOptimizer,
    create_optimizer,
    learning_rate_schedule,
)

TRAJECTORIES = [
    ("brightmart_lamb", "lamb_brightmart"),
    ("finetune_adamw", "adamw"),
    ("google_adamw", "adamw"),
    ("google_lamb", "lamb"),
]
TOLERANCE = 1e-6

both_variable_kinds = pytest.mark.parametrize(
    "use_resource", [True, False], ids=["resource", "reference"]
)
each_optimizer = pytest.mark.parametrize("optimizer", sorted(OPTIMIZERS))


def assert_near(actual, expected, message=""):
    """Equal within 1e-6 of the largest element."""
    scale = np.max(np.abs(expected))
    np.testing.assert_allclose(actual, expected, rtol=0, atol=TOLERANCE * scale, err_msg=message)


def create_global_step(use_resource):
    return tf.get_variable(
        tf.GraphKeys.GLOBAL_STEP,
        shape=[],
        dtype=tf.int64,
        initializer=tf.zeros_initializer(),
        trainable=False,
        collections=[tf.GraphKeys.GLOBAL_VARIABLES, tf.GraphKeys.GLOBAL_STEP],
        use_resource=use_resource,
    )


def create_variables(values, use_resource=True):
    """One float32 variable per name; `values` maps names to initial values."""
    return {
        name: tf.get_variable(
            name,
            initializer=np.asarray(value, np.float32),
            use_resource=use_resource,
        )
        for name, value in values.items()
    }


def linear_loss(variables):
    """A loss whose gradients are the returned placeholders, one per variable name."""
    gradients = {
        name: tf.placeholder(tf.float32, variable.shape) for name, variable in variables.items()
    }
    return sum(
        tf.reduce_sum(gradients[name] * variable) for name, variable in variables.items()
    ), gradients


def initialized_session():
    session = tf.Session()
    session.run(tf.global_variables_initializer())
    return session


def all_variables():
    return {variable.op.name: variable for variable in tf.global_variables()}


def schedule(steps, *args, **kwargs):
    with tf.Graph().as_default(), tf.Session() as session:
        step = tf.placeholder(tf.int64, [])
        rate = learning_rate_schedule(step, *args, **kwargs)
        assert rate.dtype == tf.float32
        assert rate.shape == []
        return [session.run(rate, {step: value}) for value in steps]


def test_schedules_equal_reference(golden):
    cases = {
        "bm_total10_warm2_lr0.01": (0.01, 10, 2),
        "ft_total10_warm2_lr0.01": (0.01, 10, 2),
        "gg_total10_warm2_lr0.01": (0.01, 10, 2),
        "bm_total125000_warm12500_lr0.00176": (0.00176, 125000, 12500),
        "gg_total125000_warm12500_lr0.00176": (0.00176, 125000, 12500),
        "bm_total10_warm0_lr0.01": (0.01, 10, 0),
        "bm_total5_warm10_lr0.01": (0.01, 5, 10),
        "gg_total10_warm3_start2_lr0.01": (0.01, 10, 3, 1.0, 2),
        "gg_total10_warm2_power2_lr0.01": (0.01, 10, 2, 2.0),
    }
    reference = np.load(os.path.join(golden, "optim", "lr_schedules.npz"))
    assert {key.split("/")[0] for key in reference.files} == set(cases)
    for case, arguments in cases.items():
        # Before start_warmup_step the reference has negative rates, here they are 0.
        expected = np.maximum(reference[case + "/lr"], 0.0)
        actual = schedule(reference[case + "/steps"], *arguments)
        np.testing.assert_allclose(actual, expected, rtol=TOLERANCE, atol=0, err_msg=case)


def test_fine_tuning_schedules_equal_reference(golden):
    for case in fine_tuning_golden(golden)["lr"]:
        actual = schedule(
            case["steps"], case["init_lr"], case["num_train_steps"], case["num_warmup_steps"]
        )
        np.testing.assert_allclose(actual, case["lr_at_step"], rtol=TOLERANCE, atol=0)


def test_schedule_rejects_bad_step_counts():
    with pytest.raises(InputError, match="num_train_steps is 0"):
        schedule([0], 0.01, 0, 0)
    with pytest.raises(InputError, match="num_warmup_steps is -1"):
        schedule([0], 0.01, 10, -1)


def test_schedule_warns_about_warmup_longer_than_training(caplog):
    logger = logging.getLogger("absl")
    logger.addHandler(caplog.handler)
    try:
        schedule([], 0.01, 10, 10)
        assert not caplog.messages
        schedule([], 0.01, 10, 11)
    finally:
        logger.removeHandler(caplog.handler)
    assert "num_warmup_steps (11) is greater than num_train_steps (10)" in caplog.messages[0]


def test_constants_equal_reference(golden):
    for fixture, _ in TRAJECTORIES:
        reference = np.load(os.path.join(golden, "optim", fixture + ".npz"))
        assert np.float32(CLIP_NORM) == reference["clip_norm"]
        for name in ("weight_decay_rate", "beta_1", "beta_2", "epsilon"):
            assert np.float32(HYPER_PARAMETERS[name]) == reference[name]


@both_variable_kinds
@pytest.mark.parametrize("fixture,optimizer", TRAJECTORIES)
def test_trajectory_equals_reference(golden, tmp_path, fixture, optimizer, use_resource):
    reference = np.load(os.path.join(golden, "optim", fixture + ".npz"))
    slot_m, slot_v = ("lamb_m", "lamb_v") if fixture == "brightmart_lamb" else ("adam_m", "adam_v")
    with tf.Graph().as_default():
        create_global_step(use_resource)
        names = [str(name) for name in reference["variable_order"]]
        variables = create_variables(
            {name: reference["init/" + name] for name in names}, use_resource
        )
        used = {name: variables[name] for name in names if name != "unused/kernel"}
        loss, gradients = linear_loss(used)
        step = train_step(
            loss,
            float(reference["init_lr"]),
            int(reference["num_train_steps"]),
            int(reference["num_warmup_steps"]),
            optimizer,
        )
        slots = [name for name in all_variables() if name.endswith((slot_m, slot_v))]
        assert slots == list(reference["slot_names"])
        everything = all_variables()

        with initialized_session() as session:
            for t in range(5):
                feed = {gradients[name]: reference["grad/" + name][t] for name in used}
                _, rate, norm = session.run(
                    [step.train_op, step.learning_rate, step.gradient_norm], feed
                )
                assert_near(rate, reference["lr"][t])
                assert_near(norm, reference["global_norm"][t])
                values = session.run(everything)
                assert values["global_step"] == t + 1
                for name in names:
                    assert_near(values[name], reference["value/" + name][t], name)
                for name in used:
                    m, v = values[name + "/" + slot_m], values[name + "/" + slot_v]
                    assert_near(m, reference["slot_m/" + name][t], name)
                    assert_near(v, reference["slot_v/" + name][t], name)
            np.testing.assert_array_equal(values["unused/kernel"], reference["init/unused/kernel"])
            prefix = tf.train.Saver().save(session, str(tmp_path / "model.ckpt"))
        saved = {name for name, _ in tf.train.list_variables(prefix)}
        assert saved == {*names, *reference["slot_names"], "global_step"}


def fine_tuning_golden(golden):
    path = os.path.join(golden, "tasks", "golden", "optimizer_finetuning.json")
    with open(path, encoding="utf-8") as handle:
        return json.load(handle)


@both_variable_kinds
def test_fine_tuning_trajectory_equals_reference(golden, use_resource):
    reference = fine_tuning_golden(golden)["trajectory"]
    with tf.Graph().as_default():
        create_global_step(use_resource)
        order = reference["order"]
        variables = create_variables(
            {name: reference["init"][name] for name in order}, use_resource
        )
        loss = tf.add_n(
            [
                weight * tf.reduce_sum(tf.square(variables[name] - reference["target"][name]))
                for weight, name in enumerate(order, 1)
            ]
        )
        step = train_step(
            loss,
            reference["init_lr"],
            reference["num_train_steps"],
            reference["num_warmup_steps"],
        )
        with initialized_session() as session:
            for expected in reference["steps"]:
                rate, norm, _ = session.run([step.learning_rate, step.gradient_norm, step.train_op])
                assert_near(rate, expected["lr"])
                assert_near(norm, expected["global_norm"])
                for name, value in session.run(variables).items():
                    assert_near(value, expected["params_after"][name], name)
            values = session.run(all_variables())
            for name, expected in reference["slots_after_last"].items():
                assert_near(values[name.split(":")[0]], expected, name)


@both_variable_kinds
def test_first_update_always_has_the_rate_of_step_0(use_resource):
    with tf.Graph().as_default():
        create_global_step(use_resource)
        variables = create_variables({"kernel": np.ones([4])}, use_resource)
        loss = tf.reduce_sum(tf.square(variables["kernel"]))
        step = train_step(loss, 0.1, 10, 2)
        initialize = tf.global_variables_initializer()
        for _ in range(30):  # a race would show in some of the fresh sessions
            with tf.Session() as session:
                session.run(initialize)
                session.run(step.train_op)
                np.testing.assert_array_equal(session.run(variables["kernel"]), np.ones([4]))
                assert session.run(step.learning_rate) == np.float32(0.05)


@both_variable_kinds
@each_optimizer
def test_bad_gradient_raises_and_changes_nothing(optimizer, use_resource):
    with tf.Graph().as_default():
        create_global_step(use_resource)
        variables = create_variables({"a": np.ones([3]), "b": np.ones([2, 2])}, use_resource)
        loss, gradients = linear_loss(variables)
        train_op = create_optimizer(loss, 0.1, 10, 0, optimizer=optimizer)
        everything = all_variables()
        assert len(everything) == 7
        good = {gradients["a"]: [1.0, 2.0, 3.0], gradients["b"]: np.ones([2, 2])}
        with initialized_session() as session:
            session.run(train_op, good)
            before = session.run(everything)
            for bad in (np.nan, np.inf):
                with pytest.raises(tf.errors.InvalidArgumentError, match="norm is not finite"):
                    session.run(train_op, {**good, gradients["a"]: [1.0, bad, 3.0]})
                after = session.run(everything)
                for name in before:
                    np.testing.assert_array_equal(before[name], after[name], name)
            session.run(train_op, good)
            assert session.run(everything["global_step"]) == 2
            assert np.all(session.run(everything["a"]) < before["a"])


@both_variable_kinds
@each_optimizer
@pytest.mark.parametrize("builder", ["apply_gradients", "minimize"])
def test_an_optimizer_does_not_count_and_its_caller_does(optimizer, use_resource, builder):
    """Programs written for BERT's classes add 1 themselves, as its create_optimizer does."""
    with tf.Graph().as_default():
        create_global_step(use_resource)
        step = tf.train.get_global_step()
        kernel = create_variables({"kernel": [3.0, 4.0]}, use_resource)["kernel"]
        loss = tf.reduce_sum(tf.square(kernel))
        applier = OPTIMIZERS[optimizer](0.1)
        if builder == "minimize":
            update = applier.minimize(loss, global_step=step)
        else:
            pairs = list(zip(tf.gradients(loss, [kernel]), [kernel]))
            update = applier.apply_gradients(pairs, global_step=step)
        train_op = tf.group(update, [step.assign(step + 1)])
        with initialized_session() as session:
            session.run(update)
            assert session.run(step) == 0
            for _ in range(3):
                session.run(train_op)
            assert session.run(step) == 3
            assert np.all(session.run(kernel) < [3.0, 4.0])


@each_optimizer
def test_a_skipped_step_is_not_counted_and_another_once(optimizer):
    with tf.Graph().as_default():
        variables = create_variables({"kernel": [1.0]})
        loss, gradients = linear_loss(variables)
        step = train_step(loss, 0.1, 10, 0, optimizer, skip_above=5.0)
        counts = []
        with initialized_session() as session:
            for gradient in (1.0, 9.0, np.nan, 2.0):
                session.run(step.train_op, {gradients["kernel"]: [gradient]})
                counts.append(session.run(step.global_step))
    assert counts == [1, 1, 1, 2]


IDS = [3, 1, 3, 3, 0]
ROWS = np.arange(1, 11, dtype=np.float32).reshape([5, 2]) / 100.0


def lookup_loss(table):
    """Loss with gradient ROWS[i] for row IDS[i], as slices with duplicate rows."""
    return tf.reduce_sum(tf.gather(table, IDS) * ROWS)


def summed_rows():
    gradient = np.zeros([6, 2], np.float32)
    np.add.at(gradient, IDS, ROWS)
    return gradient


@both_variable_kinds
@each_optimizer
def test_sparse_gradient_updates_like_the_dense_one(optimizer, use_resource):
    """Directly through apply_gradients: duplicates are summed and absent rows decay."""
    initial = np.linspace(0.5, 1.5, 12).reshape([6, 2])
    with tf.Graph().as_default():
        variables = create_variables({"sparse": initial, "dense": initial}, use_resource)
        (gradient,) = tf.gradients(lookup_loss(variables["sparse"]), variables["sparse"])
        assert isinstance(gradient, tf.IndexedSlices)
        applier = OPTIMIZERS[optimizer](0.1, **HYPER_PARAMETERS)
        train_op = applier.apply_gradients(
            [
                (gradient, variables["sparse"]),
                (tf.constant(summed_rows()), variables["dense"]),
            ]
        )
        everything = all_variables()
        with initialized_session() as session:
            for _ in range(3):
                session.run(train_op)
            values = session.run(everything)
    for suffix in ["", *("/" + slot for slot in applier.get_slot_names())]:
        assert_near(values["sparse" + suffix], values["dense" + suffix], suffix)
    assert np.all(values["sparse"][[2, 4, 5]] < initial[[2, 4, 5]])


@pytest.mark.parametrize("reference_clip_norm", [False, True])
def test_gradient_norm_of_duplicate_rows(reference_clip_norm):
    with tf.Graph().as_default():
        table = create_variables({"table": np.ones([6, 2])})["table"]
        step = train_step(
            100.0 * lookup_loss(table), 0.1, 10, 0, reference_clip_norm=reference_clip_norm
        )
        with initialized_session() as session:
            norm, _ = session.run([step.gradient_norm, step.train_op])
            moment = session.run(all_variables()["table/adam_m"])
    expected = np.linalg.norm(100.0 * (ROWS if reference_clip_norm else summed_rows()))
    assert_near(norm, expected)
    assert_near(moment, 0.1 * 100.0 * summed_rows() / expected)


def test_layer_adaptation_exclusion():
    """None repeats the weight decay's patterns, () adapts everything, a list is taken as it is."""

    def steps(**kwargs):
        with tf.Graph().as_default():
            variables = create_variables({"x/kernel": [2.0], "x/bias": [2.0]})
            optimizer = LAMBOptimizer(1.0, epsilon=0.0, **kwargs)
            train_op = optimizer.apply_gradients(
                [(tf.ones([1]), variable) for variable in variables.values()]
            )
            with initialized_session() as session:
                session.run(train_op)
                values = session.run(variables)
        return [2.0 - values[name][0] for name in ("x/kernel", "x/bias")]

    unadapted = 0.1 / np.sqrt(0.001)  # adapted: the ratio makes the step as long as the weight
    assert_near(steps(), [2.0, 2.0])
    assert_near(steps(exclude_from_weight_decay=["bias"]), [2.0, unadapted])
    assert_near(
        steps(exclude_from_weight_decay=["bias"], exclude_from_layer_adaptation=()), [2.0, 2.0]
    )
    assert_near(steps(exclude_from_layer_adaptation=["^x/k"]), [unadapted, 2.0])


def test_optimizers_do_not_decay_by_default():
    for optimizer in (AdamWeightDecayOptimizer(1.0), LAMBOptimizer(1.0)):
        with tf.Graph().as_default():
            kernel = create_variables({"kernel": [2.0]})["kernel"]
            train_op = optimizer.apply_gradients([(tf.zeros([1]), kernel)])
            with initialized_session() as session:
                session.run(train_op)
                assert session.run(kernel) == [2.0]


def positions(build, steps):
    """A bias, at 0 first and with gradient 1, after each step of `build(loss)`, and the count."""
    with tf.Graph().as_default():
        bias = create_variables({"bias": [0.0]})["bias"]
        train_op = build(tf.reduce_sum(bias))
        found = []
        with initialized_session() as session:
            for _ in range(steps):
                session.run(train_op)
                found.append(session.run(bias)[0])
            return found, session.run(tf.train.get_global_step())


def adamw_positions(steps, power=1.0, start=0, warmup=2):
    """What the definition gives for a rate of 0.1, 10 steps and 2 of warm-up."""
    position, m, v, found = 0.0, 0.0, 0.0, []
    for t in range(steps):
        m, v = 0.9 * m + 0.1, 0.999 * v + 0.001
        warm = max(t - start, 0)
        rate = 0.1 * warm / warmup if warm < warmup else 0.1 * (1 - t / 10) ** power
        position -= rate * m / (np.sqrt(v) + 1e-6)
        found.append(position)
    return found


@pytest.mark.parametrize(
    "arguments, expected",
    [
        ((False,), {}),
        ((False, "adamw"), {}),
        ((False, "adamw", 2.0), {"power": 2.0}),
        ((False, "adamw", 2.0, 1), {"power": 2.0, "start": 1}),
        ((False, "adamw", 2.0, 1, True), {"power": 2.0, "start": 1}),
    ],
)
def test_positional_arguments_of_the_references(arguments, expected):
    found, count = positions(lambda loss: create_optimizer(loss, 0.1, 10, 2, *arguments), 5)
    np.testing.assert_allclose(found, adamw_positions(5, **expected), rtol=1e-4)
    assert count == 5


def test_named_arguments_of_the_references():
    def build(loss):
        return create_optimizer(
            loss=loss,
            init_lr=0.1,
            num_train_steps=10,
            num_warmup_steps=None,
            use_tpu=False,
            colocate_gradients_with_ops=True,
        )

    np.testing.assert_allclose(positions(build, 3)[0], adamw_positions(3, warmup=0), rtol=1e-4)


def test_create_optimizer_of_fine_tuning():
    def build(loss):
        return optimization_finetuning.create_optimizer(loss, 0.1, 10, 2, False)

    found, count = positions(build, 4)
    np.testing.assert_allclose(found, adamw_positions(4), rtol=1e-4)
    assert count == 4


def test_excluded_variables_stay():
    with tf.Graph().as_default():
        variables = create_variables({"a": [1.0], "b": [1.0]})
        loss = variables["a"] + variables["b"]
        train_op = create_optimizer(loss, 0.1, 10, 0, excluded_tvars=["a:0"])
        assert [name for name in all_variables() if name.endswith("adam_m")] == ["b/adam_m"]
        with initialized_session() as session:
            session.run(train_op)
            values = session.run(variables)
        assert values["a"] == 1.0 and values["b"] < 1.0
        with pytest.raises(InputError, match="excluded_tvars names c, .* such as a"):
            create_optimizer(loss, 0.1, 10, 0, excluded_tvars=["c"])


def test_tpu_graph_sums_gradients_over_cores_without_check_or_summaries():
    with tf.Graph().as_default() as graph:
        kernel = create_variables({"kernel": [3.0, 4.0]})["kernel"]
        create_optimizer(tf.reduce_sum(tf.square(kernel)), 0.25, 10, 0, use_tpu=True)
        types = [operation.type for operation in graph.get_operations()]
    assert types.count("CrossReplicaSum") == 1
    assert not {"CheckNumerics", "ScalarSummary"}.intersection(types)


@pytest.mark.parametrize("devices", [["/cpu:0"], ["/cpu:0", "/cpu:1"]], ids=["one", "two"])
def test_mirrored_strategy_step(devices):
    strategy = tf.distribute.MirroredStrategy(devices)
    with tf.Graph().as_default(), strategy.scope():

        def replica_step():
            kernel = tf.get_variable("kernel", initializer=tf.constant([3.0, 4.0]))
            return create_optimizer(tf.reduce_sum(tf.square(kernel)), 0.25, 10, 0)

        train_op = strategy.extended.call_for_each_replica(replica_step)
        everything = {
            name: variable for name, variable in all_variables().items() if "replica_" not in name
        }
        assert set(everything) == {"global_step", "kernel", "kernel/adam_m", "kernel/adam_v"}
        with tf.Session(config=tf.ConfigProto(device_count={"CPU": 2})) as session:
            session.run(tf.global_variables_initializer())
            session.run(strategy.unwrap(train_op))
            values = session.run(everything)
    assert values["global_step"] == 1
    # A clipped gradient is [0.6, 0.8]; as in the reference they are summed over the replicas.
    assert_near(values["kernel/adam_m"], np.array([0.06, 0.08]) * len(devices))


def test_bad_arguments():
    with tf.Graph().as_default():
        kernel = create_variables({"kernel": [1.0]})["kernel"]
        loss = tf.reduce_sum(kernel)
        with pytest.raises(InputError, match="'sgd'.*adamw, lamb, lamb_brightmart"):
            create_optimizer(loss, 0.1, 10, 0, optimizer="sgd")
        with pytest.raises(InputError, match="num_train_steps is 0"):
            create_optimizer(loss, 0.1, 0, 0)
        with pytest.raises(ValueError, match="no trainable variable"):
            create_optimizer(tf.stop_gradient(loss), 0.1, 10, 0)
