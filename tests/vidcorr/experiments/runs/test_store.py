"""Jobs: what their keys depend on, and which of them are run.

Also tests `runs/own_code.py` and `videos/digests.py`.
"""

import sys
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from unittest.mock import Mock

import pytest
import torch
from torch import nn

from tests.helpers.refusal import refused
from tests.helpers.runs import davis_result
from vidcorr import DavisBenchmark, evaluate
from vidcorr.backbones import EncoderSpec
from vidcorr.benchmarks.network import GivenNetwork
from vidcorr.benchmarks.ranks import LostRank, Ranks
from vidcorr.datasets.generated import write_davis
from vidcorr.experiments.runs import own_code
from vidcorr.experiments.runs.store import Job, Store, process_group
from vidcorr.protocols import PropagationProtocol
from vidcorr.results.result import Network
from vidcorr.videos.folder_lock import folder_lock

VFS = PropagationProtocol.named("vfs")
RAW = EncoderSpec("raw_colour")
LIBRARY = "torchvision:resnet18"


@dataclass(frozen=True)
class Own(DavisBenchmark):
    """A user's benchmark with an argument of its own."""

    threshold: float = 0.5


def test_a_key_depends_on_all_that_moves_the_score_and_on_nothing_else(davis_root, tmp_path):
    def job(network=RAW, root=davis_root, protocol=VFS, **arguments):
        return Job(network, DavisBenchmark(root, protocol=protocol, **arguments))

    twin = tmp_path / "twin"
    twin.symlink_to(davis_root)
    first = job()
    assert job(root=str(twin), protocol="vfs+topk=10").key == first.key
    write_davis(tmp_path / "other", 3, frames=8, size=(64, 64))
    others = [
        job(protocol=VFS.with_changes(topk=7)),
        job(limit_sequences=1),
        job(root=tmp_path / "other"),
        job(name="davis_2016", split=None),
        job(EncoderSpec("raw_colour@colour/4")),
        job(EncoderSpec(LIBRARY)),
        job(replace(EncoderSpec(LIBRARY), seed=1)),
        Job(RAW, Own(davis_root)),
        Job(RAW, Own(davis_root, threshold=0.7)),
    ]
    assert len({each.key for each in (first, *others)}) == 10
    given = Job(GivenNetwork(nn.Identity(), "x" + "y" * 60), DavisBenchmark(davis_root))
    assert given.folder == f"{'y' * 60}-davis-{given.key}"  # the end of a long name
    rules = type("OwnRules", (PropagationProtocol,), {"__module__": __name__})
    for protocol in (VFS, rules(**dict(VFS))):
        assert (job(protocol=protocol).own_code == "") == (protocol is VFS)


@pytest.fixture
def evaluated(monkeypatch):
    """The names of evaluations, each of which leaves a score, and name of a benchmark → error, which it then raises."""
    calls, errors = [], {}

    def evaluate(self, network, place, name, shared):
        calls.append((network, name, self.name, shared))
        if self.name in errors:
            raise errors[self.name]
        score = {"J-Mean": 0.5} if self.name == "davis" else {"AJ": 0.25}
        result = davis_result(score, network=Network(name=name), benchmark=self.name, seconds=6.0)
        result.save(place)
        return result

    monkeypatch.setattr(DavisBenchmark, "evaluate", evaluate)
    return calls, errors


def test_a_job_is_run_once_and_after_a_failure_again(davis_root, tmp_path, evaluated, capsys):
    calls, errors = evaluated
    davis, network = DavisBenchmark(davis_root, protocol=VFS), nn.Conv2d(3, 2, 8)
    benchmarks = [replace(davis, name="second"), davis]
    errors["second"] = RuntimeError("out of\nmemory")
    text = "RuntimeError: out of memory"
    line = f"^1 failed; the first: raw_colour on second by vfs: {text}$"
    refused(ValueError, line, evaluate, [RAW], benchmarks, tmp_path)
    assert calls == [(RAW, "raw_colour", name, True) for name in ("second", "davis")]
    table = "## davis\n\n|  | J-Mean |\n| --- | ---: |\n| raw_colour | 50.0 |\n"
    first, second = ("[1/2] raw_colour on second by vfs", "[2/2] raw_colour on davis by vfs")
    said = capsys.readouterr()
    assert said.err == f"{first}\n{first[6:]} failed: {text}\n{second}\n[2/2] 0 s\n"
    assert said.out.startswith(table)
    errors["second"] = ValueError("of data")
    refused(ValueError, "by vfs: of data$", evaluate, [RAW, RAW], benchmarks, tmp_path)
    reused = "raw_colour on davis by vfs: reused, made on an unknown date\n"
    assert capsys.readouterr().err.endswith(f"of data\n{reused}")
    errors.clear()
    file = tmp_path / Job(RAW, davis).folder / "results.json"
    file.write_text(file.read_text()[:99])
    evaluate([RAW], benchmarks, tmp_path)
    said = capsys.readouterr()
    assert f"Left out: {file}" in said.err  # and is made again
    _, second, first = said.out.split("## ")
    assert [name in text for text in (first, second) for name in ("davis", "J-Mean", "AJ")] == [1, 1, 0, 0, 0, 1]
    del calls[:]
    for _ in range(2):  # a module in memory is run again
        assert list(evaluate(network, davis, tmp_path).rows) == ["Conv2d"]
    assert calls == [(network, "Conv2d", "davis", True)] * 2


def test_own_code_is_run_again_once_it_or_its_weights_have_changed(davis_root, evaluated, here, capsys):
    """A module that the user's module imports counts; one that is edited after the import counts as it was."""
    calls, _ = evaluated
    (here / "own_layers.py").write_text("from torch import nn\nclass Net(nn.Conv2d): stride = (4, 4)\n")
    (here / "own_net.py").write_text(
        "import torch\nfrom own_layers import Net\ndef net():\n    made = Net(3, 2, 4, 4)\n"
        "    made.load_state_dict(torch.load('own.pt'))\n    return made\n"
    )
    torch.save(nn.Conv2d(3, 2, 4).state_dict(), "own.pt")

    def run():
        """Evaluate as a new process would; return the evaluations so far."""
        own_code.first_digest.cache_clear()
        own_code._weights_and_modules.cache_clear()
        evaluate("own_net:net", DavisBenchmark(davis_root, protocol=VFS), "out")
        return len(calls)

    assert [run(), run()] == [1, 1]
    assert "own_net:net on davis by vfs: reused" in capsys.readouterr().err
    torch.save(nn.Conv2d(3, 2, 4).state_dict(), "own.pt")
    assert [run(), run()] == [2, 2]
    with (here / "own_layers.py").open("a") as file:
        file.write("# edited\n")
    evaluate("own_net:net", DavisBenchmark(davis_root, protocol=VFS), "out")
    assert len(calls) == 2  # this process has the code as it was
    assert [run(), run()] == [3, 3]
    type.__setattr__(sys.modules["own_layers"].Net, "__init__", None)  # a network that cannot be made is run, and fails
    assert run() == 4


def test_what_ends_or_holds_a_run(davis_root, tmp_path, evaluated, monkeypatch, capsys):
    calls, errors = evaluated
    davis = DavisBenchmark(davis_root)
    job, store = Job(RAW, davis), Store(tmp_path)
    with folder_lock(tmp_path / job.folder):
        assert (store.run([job]), calls) == ({}, [])
    assert capsys.readouterr().out == "raw_colour on davis by vfs: running elsewhere\n"
    errors["davis"] = LostRank("a rank has ended")
    refused(LostRank, "has ended", store.run, [job])
    assert not store.failures
    errors.clear()
    assert list(store.run([job])) == [job]
    with ExitStack() as locks:
        assert not store._claim(job, locks)  # another process has just done it
    monkeypatch.setattr("vidcorr.experiments.runs.store.require_writable", Mock(side_effect=OSError("read-only")))
    refused(OSError, "read-only", store.run, [job])  # before any work
    monkeypatch.undo()
    monkeypatch.setattr(Ranks, "gather", lambda self, value: [value, ("another",)])
    refused(ValueError, "the ranks hold different networks", evaluate, ["raw_colour"], [davis], tmp_path)


@pytest.mark.parametrize(("rank", "said"), [(0, "inside\n"), (1, "")])
def test_ranks_of_torchrun_have_a_gpu_each_and_only_the_first_prints(rank, said, monkeypatch, capsys):
    group, cuda = Mock(), Mock()
    group.get_rank.return_value = rank
    cuda.device_count.return_value = 3
    monkeypatch.setattr("vidcorr.experiments.runs.store.dist", group)
    monkeypatch.setattr(torch, "cuda", cuda)
    for name, value in (("WORLD_SIZE", "4"), ("LOCAL_RANK", "5")):
        monkeypatch.setenv(name, value)
    with suppress(KeyError), process_group() as is_first:
        assert is_first is (rank == 0)
        print("inside")
        raise KeyError
    assert capsys.readouterr().out == said
    cuda.set_device.assert_called_once_with(2)
    assert [call[0] for call in group.mock_calls] == ["init_process_group", "get_rank", "destroy_process_group"]
