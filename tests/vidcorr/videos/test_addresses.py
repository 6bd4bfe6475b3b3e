"""Data by address: clips, lists, trainings and checks equal those of the same files on a disk, to the bit."""

import multiprocessing
import os
from contextlib import suppress

import fsspec
import numpy as np
import pytest
import torch
from jsonargparse import Namespace
from pytorch_lightning.callbacks import LambdaCallback

from tests.helpers import words
from tests.helpers.faults import STATE, differences
from tests.helpers.file_server import served
from tests.helpers.numbered_videos import write_video
from tests.helpers.ranks import on_ranks
from tests.helpers.refusal import refused
from tests.helpers.training import TINY, quiet_trainer
from vidcorr.backbones import load
from vidcorr.cli import main, needs_no_data
from vidcorr.datamodules import ImageClipDataModule, VideoDataModule
from vidcorr.lightning_modules import FrozenEncoder, VFSSimSiam
from vidcorr.videos import addresses
from vidcorr.videos.addresses import read_address
from vidcorr.videos.check import check_data
from vidcorr.videos.decoding import VideoFile
from vidcorr.videos.files import DataError, DecodingError
from vidcorr.videos.source import list_videos

NAMES = ["a 1.mp4", "a 2.mp4", "b/c.mp4", "b/d.avi", "b/é.mkv", "e.mp4", "f.mp4", "g.mp4"]


@pytest.fixture(scope="module")
def disk(tmp_path_factory):
    """Films of three kinds, one without an index; hidden files and results, which are no videos; a list."""
    root = tmp_path_factory.mktemp("disk")
    for number, name in enumerate(NAMES):
        codec = "mpeg4" if name.endswith("avi") else "libx264"
        write_video(root / "clips" / name, 20 + number, video=number, codec=codec, options={"g": "12"})
    for name in (".hidden.mp4", "b/__MACOSX/a.mp4", "run/overlay.mp4", "run/prediction.json", "note.md"):
        (root / "clips" / name).parent.mkdir(exist_ok=True)
        (root / "clips" / name).write_bytes(b"none")
    (root / "clips/list.txt").write_text("\n".join(f"{name} 3" for name in NAMES))
    return root


@pytest.fixture(scope="module")
def store(disk):
    with served(disk) as server:
        yield server


def make(source, **arguments):
    options = {"frames": 2, "size": 32, "batch_size": 2, "num_workers": 0, "validation_fraction": 0.2}
    return VideoDataModule(str(source), **options | arguments)


def trained(source, folder=None, resumes=False, trainer=None, **arguments):
    """Train for five steps, or from `folder/2.ckpt` on, where step 2 is saved; return the end and the losses."""
    losses = []

    def note(trainer, module, outputs, *_):
        losses.append(outputs["loss"])
        if trainer.global_step == 2 and folder:
            trainer.save_checkpoint(folder / "2.ckpt")

    notes = LambdaCallback(on_train_batch_end=note)
    trainer = quiet_trainer(callbacks=[notes], max_steps=5, num_sanity_val_steps=0, **trainer or {})
    torch.manual_seed(0)
    trainer.fit(VFSSimSiam(**TINY), make(source, **arguments), ckpt_path=folder / "2.ckpt" if resumes else None)
    return trainer._checkpoint_connector.dump_checkpoint(), losses


@pytest.mark.parametrize("name", NAMES[2:6])
def test_a_film_is_one_request_of_its_bytes(name, disk, store):
    store.requests.clear(), store.sent.clear()
    file = disk / "clips" / name
    films = VideoFile(file), VideoFile(f"{store.url}/clips/{name}"), VideoFile(file.read_bytes())
    wanted, *others = ([*film.read([15, 3, 99]), *film.frames(), film.num_frames, *film.notes()] for film in films)
    for found in others:
        assert len(found) == len(wanted)
        assert all(map(np.array_equal, found, wanted))
    assert [*store.requests.values(), *store.sent.values()] == [1, file.stat().st_size]


def noise(number, video):
    return np.random.default_rng(number).integers(0, 255, (64, 64, 3), np.uint8)


@pytest.mark.slow
def test_a_long_film_is_read_by_ranges(tmp_path, monkeypatch):
    monkeypatch.setattr(addresses, "WHOLE", 2**16)
    monkeypatch.setattr(addresses, "RANGE", 2**15)
    file = write_video(tmp_path / "long.mp4", 600, options={"g": "10"}, image_of=noise)
    wanted = VideoFile(file).read([550, 290])
    with served(tmp_path) as server:
        requests = []
        for statuses in ([], [], [503]):  # a range is asked for again, as a whole film is
            server.requests.clear(), server.sent.clear()
            server.status["/long.mp4"] = statuses
            assert np.array_equal(VideoFile(f"{server.url}/long.mp4").read([550, 290]), wanted)
            assert server.sent["/long.mp4"] < file.stat().st_size / 2
            requests.append(server.requests["GET", "/long.mp4"])
    # the first time the start of the film, too, which tells that it is long
    assert requests == [requests[1] + 1, requests[1], requests[1] + 1]


def test_a_request_is_sent_again_unless_it_is_refused(disk, store, monkeypatch):
    monkeypatch.setattr(addresses, "PAUSE", 0)
    address, whole = f"{store.url}/clips/e.mp4", (disk / "clips/e.mp4").read_bytes()
    for statuses, message in (
        ([503, 429], ""),
        ([0, 500], ""),
        ([503, 503, 503], "503"),
        ([0, 0, 0], "FSTimeoutError"),
        ([403], "403"),
        ([404], "no such file"),
    ):
        store.requests.clear()
        store.status["/clips/e.mp4"] = list(statuses)
        if message:
            refused(DecodingError, rf"^{address}: cannot be read \(.*{message}", read_address, address, 0.6)
        else:
            assert read_address(address, 0.6) == whole
        assert store.requests["GET", "/clips/e.mp4"] == len(statuses) + (not message)


def test_sources_are_listed_as_on_a_disk(disk, store, tmp_path):
    assert [entry.file for entry in list_videos(disk / "clips").entries] == [f"{disk}/clips/{name}" for name in NAMES]
    wanted = [f"{store.url}/clips/{name}" for name in NAMES]
    listing = list_videos(f"{store.url}/clips")
    assert [entry.file for entry in listing.entries] == wanted
    assert "such as run" in listing.left_out()
    assert list_videos(f"{store.url}/clips/list.txt?token=1").entries == tuple((file, 3) for file in wanted)
    lines = [f"{store.url}/clips/e.mp4?signature=a/b.c 4", f"{store.url}/get?id=3 5", f"{disk}/clips/f.mp4 6"]
    (tmp_path / "list.txt").write_text("\n".join(lines))
    assert [f"{file} {label}" for file, label in list_videos(tmp_path / "list.txt").entries] == lines
    data = make(f"{store.url}/clips", validation_fraction=0)
    data.setup()
    assert {"a 1", "c", wanted[0]} <= data.trained_videos()  # what no benchmark may score


def test_any_scheme_of_fsspec_is_read_and_a_missing_package_is_named(disk, tmp_path):
    with fsspec.open("memory://bucket/sub/e.mp4", "wb") as file:
        file.write((disk / "clips/e.mp4").read_bytes())
    assert list_videos("memory://bucket").entries == (("memory://bucket/sub/e.mp4", None),)
    assert np.array_equal(VideoFile("memory://bucket/sub/e.mp4").read([3]), VideoFile(disk / "clips/e.mp4").read([3]))
    listed = tmp_path / "list.txt"
    for scheme, message in (("s3", "Install s3fs"), ("gs", "gcsfs"), ("nothing", "Protocol not known")):
        listed.write_text(f"{scheme}://bucket/a.mp4")
        for source in (f"{scheme}://bucket/clips", listed):
            refused(DataError, rf"^{scheme}://bucket/.*{message}", make(source).setup)
    refused(DataError, "memory://empty: .*give a list", make("memory://empty").setup)
    listed.write_text("https://host/a.jpg")
    refused(DataError, "no image on a disk", ImageClipDataModule(listed).setup)


@pytest.mark.slow
@pytest.mark.parametrize("form", ["", "/list.txt"])
def test_a_training_and_its_resume_equal_those_on_a_disk(form, disk, store, tmp_path):
    end, losses = trained(f"{disk}/clips{form}")
    assert not differences((end, losses), trained(f"{store.url}/clips{form}", tmp_path))
    assert not differences((end, losses[2:]), trained(f"{store.url}/clips{form}", tmp_path, resumes=True))


def test_a_broken_film_is_replaced_counted_and_named(disk, store, tmp_path):
    (disk / "bad").mkdir()
    (disk / "bad/cut.mp4").write_bytes((disk / "clips/e.mp4").read_bytes()[:900])
    (disk / "bad/gone.mp4").write_bytes(b"none")
    store.status["/bad/gone.mp4"] = [404] * 9
    results = []
    for root, reason in ((disk, "Invalid data"), (store.url, "no such file")):
        lines = [f"{root}/{name}" for name in ("bad/cut.mp4", "bad/gone.mp4", "clips/e.mp4", "clips/f.mp4")]
        (tmp_path / "list.txt").write_text("\n".join(lines))
        data = make(tmp_path / "list.txt", validation_fraction=0)
        data.setup()
        with pytest.warns(UserWarning, match=rf"replaced by another video: {root}/bad/gone.mp4: .*\({reason}"):
            clips = [batch["clip"] for batch in data.train_dataloader()]
        results.append((clips, {name.rpartition("/")[2]: count for name, count in data.skipped.items()}))
    assert set(results[0][1]) == {"cut.mp4", "gone.mp4"}
    assert not differences(*results)


def _read(address, queue):
    queue.put(read_address(address))


def test_a_process_that_is_forked_has_a_connection_of_its_own(disk, store):
    """Also after a request of its parent, whose loop and connection it inherits."""
    address = f"{store.url}/clips/e.mp4"
    whole, before = read_address(address), store.connections
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    process = context.Process(target=_read, args=(address, queue))
    process.start()
    assert queue.get(timeout=30) == whole
    process.join()
    assert read_address(address) == whole
    assert store.connections > before


@pytest.mark.slow
def test_a_checkpoint_names_no_address_that_is_opened(disk, store, tmp_path):
    """Neither its arguments nor those of data beside them, whoever opens it."""
    checkpoint, _ = trained(f"{disk}/clips")
    address, file, before = f"{store.url}/clips", tmp_path / "named.ckpt", store.requests.total()
    checkpoint["datamodule_hyper_parameters"] = {"source": address}
    for backbone in (TINY["backbone"], address, f"{address}/e.mp4", {"spec": address}):
        checkpoint["hyper_parameters"] |= {"backbone": backbone, "source": address, "data": {"source": address}}
        torch.save(checkpoint, file)
        refused(ValueError, "names no data", VideoDataModule.load_from_checkpoint, file)
        for opens in (load, VFSSimSiam.load_from_checkpoint, FrozenEncoder):
            with suppress(ValueError, TypeError):
                opens(str(file))
        with suppress(SystemExit):
            main(["validate", f"--ckpt_path={file}", f"--trainer.default_root_dir={tmp_path}"])
    assert store.requests.total() == before


@pytest.mark.slow
def test_a_check_equals_that_on_a_disk(disk, store, tmp_path):
    usable, _ = check_data([disk / "clips"], tmp_path / "disk", 1, 8)
    assert [*check_data([f"{store.url}/clips"], tmp_path / "store", 2, 8)[0].values()] == [*usable.values()]
    clean = (tmp_path / "store/clean.txt").read_text().splitlines()
    assert clean == [f"{store.url}/clips/{os.path.relpath(file, disk / 'clips')}" for file in usable]


def test_data_at_an_address_are_there_when_a_run_is_measured():
    benchmark = Namespace(class_path="vidcorr.BenchmarkCallback")
    for source, is_absent in (("https://host/clips", False), ("nowhere/clips", True)):
        data = Namespace(class_path="vidcorr.VideoDataModule", init_args=Namespace(source=source))
        config = Namespace(data=data, trainer=Namespace(callbacks=[benchmark]))
        assert needs_no_data(config, "val_dataloader") == is_absent


def _on_rank(rank, on_disk, in_store):
    ranks = {"strategy": "ddp", "devices": 2}
    return len(differences(trained(on_disk, trainer=ranks), trained(in_store, trainer=ranks, num_workers=1)))


@pytest.mark.slow
def test_two_ranks_with_workers_equal_those_on_a_disk(disk, store, tmp_path):
    before = store.connections
    assert on_ranks(2, tmp_path, _on_rank, f"{disk}/clips", f"{store.url}/clips") == [0, 0]
    assert store.connections >= before + 4  # each rank, which lists the films, and each worker


@pytest.mark.slow
def test_a_run_of_the_command_equals_one_on_a_disk(disk, store, tmp_path):
    """A run by its config.yaml, which is the user's: it goes on, and is validated, at its address."""
    ends = []
    for name, source in (("disk", f"{disk}/clips"), ("store", f"{store.url}/clips")):
        where = [f"--trainer.default_root_dir={tmp_path / name}", "--trainer.max_steps=2"]
        main(["fit", *words.TINY, *words.clips(source, num_workers=1, validation_fraction=0.2), *where])
        (run,) = tmp_path.glob(f"{name}/*")
        main(["resume", str(run), "--trainer.max_steps=5"])
        main(["validate", str(run)])
        end = torch.load(run / "checkpoints/last.ckpt", weights_only=False)
        ends.append({key: end[key] for key in (*STATE, "loops", "VideoDataModule")})
    assert not differences(*ends)
