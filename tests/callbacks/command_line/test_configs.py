"""The file that a --config names."""


def test_a_users_file_wins_over_the_projects_own(tmp_path, monkeypatch):
    from callbacks.command_line.configs import find_config, shipped_configs

    monkeypatch.chdir(tmp_path)
    assert find_config("benchmarks/davis.yaml") == shipped_configs() / "benchmarks/davis.yaml"
    assert find_config("configs/benchmarks/davis.yaml") == shipped_configs() / "benchmarks/davis.yaml"
    (tmp_path / "benchmarks").mkdir()
    (tmp_path / "benchmarks/davis.yaml").write_text("trainer: {}\n")
    assert find_config("benchmarks/davis.yaml").resolve() == tmp_path / "benchmarks/davis.yaml"
