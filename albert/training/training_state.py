"""The counters of a run, which go with its checkpoints."""

import os

from albert.basics import storage
from albert.model_files import model_folder

STATE_FILE = "training_state.json"


class TrainingState:
    """Counters of a run, stored for every checkpoint in `<output_dir>/training_state.json`.

    Examples are counted, not derived from the step: steps that were skipped have used theirs, and
    the batch size may change from one process to the next.

    Attributes:
        examples: examples that training has taken from the input, over all workers.
        skipped_steps: steps whose gradients were not applied.
    """

    def __init__(self, output_dir):
        self._output_dir = output_dir
        self._path = os.path.join(output_dir, STATE_FILE)
        self._stored = {}
        self.examples = self.skipped_steps = 0
        if storage.exists(self._path):
            self._stored = storage.read_json(self._path)["checkpoints"]

    def resume(self, step, batch_size):
        """Takes the counters of a checkpoint.

        Args:
            step: of the checkpoint; 0: a new run.
            batch_size: examples of each earlier step, if nothing is stored for the checkpoint.
        """
        stored = self._stored.get(str(step), {"examples": step * batch_size})
        self.examples = stored["examples"]
        self.skipped_steps = stored.get("skipped_steps", 0)

    def store(self, step):
        """Stores the counters for a checkpoint that is about to be written.

        Before and not after: a process killed in between leaves an entry without a checkpoint,
        which does no harm.
        """
        kept = {str(other) for other in model_folder.checkpoint_steps(self._output_dir)}
        self._stored = {key: value for key, value in self._stored.items() if key in kept}
        self._stored[str(step)] = {"examples": self.examples, "skipped_steps": self.skipped_steps}
        storage.write_json(self._path, {"checkpoints": self._stored})
