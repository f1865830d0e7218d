"""What the flags of both training scripts have in common."""

import pytest
from absl import flags

from albert.basics import flag_table
from albert.finetuning.flags import FLAGS as FINETUNING
from albert.finetuning.flags import FinetuningSettings
from albert.pretraining.flags import FLAGS as PRETRAINING
from albert.pretraining.flags import PretrainingSettings
from albert.training.flags import TPU_FLAGS

both = pytest.mark.parametrize(
    "table, settings_class", [(PRETRAINING, PretrainingSettings), (FINETUNING, FinetuningSettings)]
)


def collect(table, settings_class, *arguments):
    values = flags.FlagValues()
    flag_table.define(values, table)
    values(["script", *arguments])
    return flag_table.collect(values, settings_class)


@both
@pytest.mark.parametrize("name", ["gradient_accumulation_steps", "accumulation_steps"])
def test_accumulation_has_two_names(table, settings_class, name):
    settings = collect(table, settings_class, "--%s=4" % name)
    assert settings.gradient_accumulation_steps == 4
    assert "accumulation_steps" not in settings._fields
    assert collect(table, settings_class).gradient_accumulation_steps == 1


@both
def test_tpu_flags_are_the_same(table, settings_class):
    assert set(TPU_FLAGS) <= set(table) == set(settings_class.TABLE)
