"""`vidcorr export`: the file says what it is."""

from safetensors import safe_open

from cli import main


def test_the_file_says_what_it_is(vfs, tmp_path, capsys):
    main(["export", str(vfs), str(tmp_path / "out.safetensors")])
    load = capsys.readouterr().out.strip()
    with safe_open(tmp_path / "out.safetensors", "pt") as file:
        about = file.metadata()
    assert about["load"] == load
    assert about["method"] == "VFSSimSiam"
    assert about["architecture"] == "torchvision:resnet18"
    assert (about["mean"], about["std"]) == ("0.485, 0.456, 0.406", "0.229, 0.224, 0.225")
    assert set(about) == {"format", "method", "vidcorr", "architecture", "mean", "std", "load"}
    assert not list(tmp_path.glob("*.part"))
