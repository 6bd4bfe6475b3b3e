"""A folder held by one process."""

import subprocess
import sys
from pathlib import Path

import pytest

from callbacks.folder_lock import FolderInUse, FolderLock, in_use

OTHER = """
import sys
from pathlib import Path
from callbacks.folder_lock import FolderLock
lock = FolderLock(Path(sys.argv[1]))
print("torch" in sys.modules, flush=True)
sys.stdin.read()
"""


@pytest.mark.slow
def test_one_process_holds_a_folder_until_it_ends(tmp_path: Path) -> None:
    folder = tmp_path / "new/run"
    assert not in_use(folder)
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", OTHER, str(folder)], **pipes) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"False\n"
        assert in_use(folder)
        with pytest.raises(
            FolderInUse, match=rf"run is in use by another run \(process {other.pid} on .*default_root_dir"
        ):
            FolderLock(folder)
        other.kill()
        other.wait()
        assert not in_use(folder)
    lock = FolderLock(folder)
    assert in_use(folder)
    lock.release()
    assert not in_use(folder)


LOOKS = """
import sys
from pathlib import Path
from callbacks.folder_lock import in_use
print(sum(in_use(Path(sys.argv[1])) for _ in range(2000)))
"""


def test_processes_that_look_at_a_free_folder_do_not_take_it_from_each_other(tmp_path: Path) -> None:
    FolderLock(tmp_path).release()
    command = [sys.executable, "-c", LOOKS, str(tmp_path)]
    looking = [subprocess.Popen(command, stdout=subprocess.PIPE) for _ in range(3)]
    assert [process.communicate()[0] for process in looking] == [b"0\n"] * 3
    FolderLock(tmp_path).release()


def test_a_process_that_looks_at_its_own_folder_keeps_it(tmp_path: Path) -> None:
    lock = FolderLock(tmp_path)
    assert in_use(tmp_path)
    looks = subprocess.run([sys.executable, "-c", LOOKS, str(tmp_path)], stdout=subprocess.PIPE, check=True)
    assert looks.stdout == b"2000\n"
    lock.release()
