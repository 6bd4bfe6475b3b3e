"""The recipes carry the values that the papers print, and each axis of their tables is a flag.

The papers' values stand in papers.yaml.
"""

from pathlib import Path

import pytest
import yaml

from tests.helpers.parsed import Built, Parsed
from tests.helpers.words import chosen
from vidcorr.experiments.runs.benchmark_choice import read_on

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[1]
PAPERS = yaml.safe_load(Path(__file__).with_name("papers.yaml").read_text())


def words(files):
    """Return the words of a training by these files, on a CPU."""
    machine = ["--trainer.accelerator=cpu", "--trainer.devices=1", "--trainer.strategy=auto", "--trainer.logger=false"]
    return ["fit", *(f"--config={file}.yaml" for file in ("trainer/gpus", *files.split())), *machine]


@pytest.mark.parametrize("files", PAPERS["recipes"])
def test_a_recipe_has_the_values_of_its_paper(files):
    config = Parsed(words(files)).config["fit"]
    found = {}
    for option in PAPERS["recipes"][files]:
        section, _, name = option.partition(".")
        value = config[section if section == "trainer" else f"{section}.init_args"][name]
        found[option] = list(value) if isinstance(value, tuple) else value
    assert found == PAPERS["recipes"][files]


def test_studies_of_the_papers_train_in_float32():
    for file in (ROOT / "configs/studies").glob("*.yaml"):
        text = file.read_text()
        assert text.count("trainer/gpus.yaml") == text.count("trainer/gpus.yaml --trainer.precision 32-true"), file


@pytest.mark.parametrize("files", PAPERS["trained"])
def test_a_config_trains_what_the_paper_trains(files):
    """On eight GPUs; the random walk, Liir and MAST's objective on two, as docs/parity.md says."""
    devices = 8 if files.startswith("vfs") else 2
    configs = [f"--config={file}.yaml" for file in ("trainer/gpus", *files.split())]
    config = Parsed(["fit", *configs, f"--trainer.devices={devices}"]).config["fit"]
    data = config.data.init_args
    batch = data.batch_size * int(config.trainer.devices)
    assert [data.frames, config.trainer.max_epochs, data.repeat, batch, data.size] == PAPERS["trained"][files]


def test_vfs_table_a1(tmp_path):
    model = Built([*words("vfs_simsiam_r18 data/kinetics"), f"--trainer.default_root_dir={tmp_path}"]).model
    for configured in read_on([f"{name}={tmp_path}" for name in PAPERS["propagation"]]):
        benchmark = configured.build()
        assert benchmark.protocol.name == "vfs"
        assert model.feature_extractor(benchmark.stage).stage == "res4"  # section 4.2
        fields = benchmark.protocol.effective_values()
        expected = PAPERS["propagation"][benchmark.name]
        assert {key: fields[key] for key in expected} == expected


@pytest.mark.parametrize(("depth", "blocks"), [(18, [2, 2]), (50, [6, 3])])
def test_vfs_figures_4_and_5(depth, blocks, tmp_path):
    built = Built([*words(f"vfs_simsiam_r{depth} data/kinetics"), f"--trainer.default_root_dir={tmp_path}"])
    stages = [choice.build().stage for choice in chosen("--on", f"davis_blocks_r{depth}={tmp_path}")]
    assert stages == [f"res{4 + part}.b{block + 1}" for part, count in enumerate(blocks) for block in range(count)]
    assert [built.model.feature_extractor(stage).stage for stage in stages] == stages
