"""`prefect.toml`: the plain `prefect` command in the project folder."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from deployments.environment import remove_toml, user_command, write_toml
from infra.settings import Settings

URL = "http://127.0.0.1:4321/api"


def test_prefect_honours_it_and_it_goes_again(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path / ".sep")
    path = write_toml(settings, URL, project=tmp_path)
    assert path == tmp_path / "prefect.toml"
    plain = {k: v for k, v in os.environ.items() if not k.startswith("PREFECT_")}
    view = subprocess.run(
        [sys.executable, "-m", "prefect", "config", "view"],
        cwd=tmp_path,
        env={**plain, "NO_COLOR": "1", "COLUMNS": "300"},
        capture_output=True,
        text=True,
    ).stdout
    assert f"PREFECT_API_URL='{URL}' (from prefect.toml)" in view
    assert "PREFECT_RESULTS_DEFAULT_SERIALIZER='json' (from prefect.toml)" in view
    assert f"PREFECT_RESULTS_LOCAL_STORAGE_PATH='{tmp_path}/.sep/results'" in view
    assert user_command(settings, project=tmp_path) == f"cd {tmp_path}"
    remove_toml(settings, project=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_another_home_leaves_the_project_alone(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path / "elsewhere")
    assert write_toml(settings, URL, project=tmp_path) is None
    assert "sep env" in user_command(settings, project=tmp_path)
    assert not (tmp_path / "prefect.toml").exists()


def test_a_file_of_the_user_stays(tmp_path: Path) -> None:
    (tmp_path / "prefect.toml").write_text("[api]\n")
    settings = Settings(home=tmp_path / ".sep")
    assert write_toml(settings, URL, project=tmp_path) is None
    remove_toml(settings, project=tmp_path)
    assert (tmp_path / "prefect.toml").read_text() == "[api]\n"
