"""Peak memory of tensors, as torch's allocator reports it."""

from collections.abc import Callable

from torch.profiler import ProfilerActivity, profile


def peak_of(function: Callable[[], object]) -> int:
    """Bytes on the CPU that `function` allocates at most beyond what lives when it starts."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as recorded:
        function()
    assert recorded.profiler is not None
    now = peak = 0
    events = [e for e in recorded.profiler.kineto_results.events() if e.name() == "[memory]"]
    for event in sorted(events, key=lambda e: e.start_ns()):
        now += event.nbytes()
        peak = max(peak, now)
    return peak
