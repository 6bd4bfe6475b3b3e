"""A logger that keeps what it gets."""

from typing import Any

from pytorch_lightning.loggers import Logger


class Logged(Logger):
    """Keeps what is logged: scores by step, and steps of pictures."""

    name = version = "logged"

    def __init__(self) -> None:
        super().__init__()
        self.scores: dict[str, dict[int, float]] = {}
        self.pictures: list[int] = []

    def log_hyperparams(self, *args: Any, **options: Any) -> None:
        """Keep nothing."""

    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        for key, value in metrics.items():
            self.scores.setdefault(key, {})[int(step or 0)] = value

    def log_image(self, key: str, images: list[Any], step: int) -> None:
        self.pictures.append(step)
