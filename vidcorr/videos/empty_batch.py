"""The batch of a loader without held-out videos."""

from typing import Any

from torch.utils.data import DataLoader

from .files import DataError


class EmptyBatch(dict[str, Any]):
    """An empty batch. Lightning runs validation hooks, and so benchmarks, only if a loader gives a batch.

    Our modules skip it.
    """

    def __missing__(self, key: str) -> Any:
        """Tell a foreign `validation_step` why its batch is empty.

        Raises:
            DataError: always.
        """
        raise DataError(
            f"the validation batch has no {key}, because no videos are held out: set data.validation_fraction above 0, "
            "or return from validation_step if the batch is empty"
        )


def empty_loader() -> DataLoader[Any]:
    """Return a loader of a single empty batch."""
    return DataLoader([EmptyBatch()], batch_size=None)  # type: ignore[arg-type]
