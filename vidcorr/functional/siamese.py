"""SiamFC: cross-correlation of exemplar and search features, its labels and losses."""

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, conv2d, logsigmoid


def siamese_correlation(exemplar: Tensor, search: Tensor) -> Tensor:
    """Correlate exemplars with their search maps: dot products over channels and cells at every offset.

    On a CPU without gradients it convolves with the exemplar's rows, in an eighth of the time of a plain convolution.
    With gradients, and on a GPU, it multiplies spectra (FFT).
    Paper: Bertinetto et al., Fully-Convolutional Siamese Networks for Object Tracking (SiamFC), Eq. 2.

    Args:
        exemplar: `(N, C, a, a)`.
        search: `(K · N, C, b, b)`, b >= a: K groups of N maps, in which map n belongs to exemplar n; K = 1 in training.

    Returns:
        `(K · N, 1, b − a + 1, b − a + 1)`, float32 or finer.

    Raises:
        ValueError: if a search map is smaller than an exemplar.

    Example:
        >>> siamese_correlation(torch.ones(2, 3, 4, 4), torch.ones(2, 3, 6, 6)).shape
        torch.Size([2, 1, 3, 3])
    """
    height, width = exemplar.shape[-2:]
    rows, columns = search.shape[-2:]
    if rows < height or columns < width:
        raise ValueError(f"search maps {rows} x {columns} are smaller than the exemplars {height} x {width}")
    real = torch.promote_types(search.dtype, torch.float32)
    exemplar = exemplar.to(real)
    search = search.to(real)
    learns = torch.is_grad_enabled() and (exemplar.requires_grad or search.requires_grad)
    if learns or search.is_cuda:
        return _correlate_by_spectra(exemplar, search)
    return _correlate_by_rows(exemplar, search)


def _correlate_by_rows(exemplar: Tensor, search: Tensor) -> Tensor:
    """Correlate by a convolution whose output channels are the exemplar's rows, then sum along diagonals."""
    count, _, height, width = exemplar.shape
    rows = search.shape[-2] - height + 1
    columns = search.shape[-1] - width + 1
    kernels = exemplar.transpose(1, 2).unsqueeze(3)  # (N, a rows, C, 1, a): each row is a kernel
    with torch.autocast(search.device.type, enabled=False):
        # map n of each of the K groups
        responses = [conv2d(search[n::count], kernels[n]) for n in range(count)]
        row_responses = torch.stack(responses, dim=1).flatten(0, 1)  # (K · N, a rows of an exemplar, b, b − a + 1)
    # the response of the exemplar's row y lies y cells below the response of its row 0, so sum channel y at row + y:
    # in the view, a step along the channels is also a step down a row
    map_step, channel_step, row_step, column_step = row_responses.stride()
    shape = len(search), height, rows, columns
    diagonals = row_responses.as_strided(shape, (map_step, channel_step + row_step, row_step, column_step))
    return diagonals.sum(1, keepdim=True)


def _correlate_by_spectra(exemplar: Tensor, search: Tensor) -> Tensor:
    """Correlate by products of Fourier spectra, which also have fast gradients; shapes as for `siamese_correlation`."""
    count, _, height, width = exemplar.shape
    rows, columns = search.shape[-2:]
    # transforms of channels-last tensors take twice the time
    spectrum = torch.fft.rfft2(search.contiguous()).unflatten(0, (-1, count))  # (K, N, C, …)
    pattern = torch.fft.rfft2(exemplar.contiguous(), s=(rows, columns))
    # the conjugate makes it a correlation, not a convolution
    # products of spectra wrap around at the border: cut off the offsets at which the exemplar crosses it
    response = torch.fft.irfft2((spectrum * pattern.conj()).sum(2), s=(rows, columns))
    inside = response[..., : rows - height + 1, : columns - width + 1]
    return inside.flatten(0, 1)[:, None]


def response_labels(size: tuple[int, int], radius: float, device: torch.device | None = None) -> Tensor:
    """Return labels `(h, w)`: 1 if |dx| + |dy| from the centre is at most `radius` cells, else 0."""
    height, width = size
    y = torch.arange(height, dtype=torch.float32, device=device) - (height - 1) / 2
    x = torch.arange(width, dtype=torch.float32, device=device) - (width - 1) / 2
    return (y.abs()[:, None] + x.abs() <= radius).float()


def balanced_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Compute cross-entropy in which all positive cells together weigh as much as all negative ones (SiamFC, Eq. 4)."""
    labels = labels.expand_as(logits)
    positive = labels == 1
    negative = labels == 0
    positive_weight = positive / positive.sum().clamp(min=1)
    negative_weight = negative / negative.sum().clamp(min=1)
    weight = positive_weight + negative_weight
    # the sum is 2, or 1 if all cells are alike
    return binary_cross_entropy_with_logits(logits, labels, weight / weight.sum(), reduction="sum")


def focal_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Compute cross-entropy weighted by the squared error, divided by the mean weight (Lin et al., 2017, Eq. 4)."""
    probability = logits.sigmoid()
    positive = labels * (1 - probability) ** 2.0
    negative = (1 - labels) * probability**2.0
    loss = -(positive * logsigmoid(logits) + negative * logsigmoid(-logits)).mean()
    # all weights are 0 if every cell is right with full confidence
    return loss / (positive + negative).mean().clamp_min(torch.finfo(logits.dtype).tiny)
