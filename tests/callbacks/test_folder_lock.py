"""A folder held by one process."""

import subprocess
import sys
from pathlib import Path

import pytest

from callbacks.folder_lock import FolderInUse, FolderLock

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
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", OTHER, str(folder)], **pipes) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"False\n"
        with pytest.raises(
            FolderInUse, match=rf"run is in use by another run \(process {other.pid} on .*default_root_dir"
        ):
            FolderLock(folder)
        other.kill()
        other.wait()
    FolderLock(folder).release()
