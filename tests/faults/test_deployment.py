"""The files that SECURITY.md gives to operators."""

import shutil
import subprocess
from pathlib import Path

import pytest

DEPLOY = Path(__file__).resolve().parents[2] / "docs" / "deploy"


@pytest.mark.processes
@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="needs systemd-analyze")
def test_the_unit_is_valid(tmp_path):
    unit = tmp_path / "zeus-ray-watchdog.service"
    text = (DEPLOY / unit.name).read_text()
    assert "zeus-ray restore --watch" in text
    unit.write_text(text.replace("/opt/venv/bin/zeus-ray", shutil.which("true")))
    checked = subprocess.run(["systemd-analyze", "verify", unit], capture_output=True, text=True, check=False)
    assert (checked.returncode, checked.stderr) == (0, "")


def test_the_manifest_has_what_the_watchdog_needs():
    yaml = pytest.importorskip("yaml")
    manifest = yaml.safe_load((DEPLOY / "zeus-ray-watchdog.yaml").read_text())
    pod = manifest["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert manifest["kind"] == "DaemonSet"
    assert pod["hostPID"] is True
    assert container["command"] == ["zeus-ray", "restore", "--watch"]
    assert container["securityContext"]["capabilities"]["add"] == ["SYS_ADMIN"]
    mounted = {mount["mountPath"] for mount in container["volumeMounts"]}
    assert mounted == {volume["hostPath"]["path"] for volume in pod["volumes"]}
    named = {entry["name"]: entry["value"] for entry in container["env"]}
    assert {named["ZEUS_RAY_STATE_DIR"], named["ZEUS_RAY_LOCK_DIR"]} == mounted
