"""The files that SECURITY.md and the guides give to operators."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

DOCS = Path(__file__).resolve().parents[2] / "docs"
DEPLOY, GUIDES = DOCS / "deploy", DOCS / "guides"


def _units():
    """Of zeus-ray, and of the daemon in the guide; their programs are not installed here."""
    ours = (DEPLOY / "zeus-ray-watchdog.service").read_text()
    (daemon,) = re.findall(r"```ini\n(#.*?\[Unit\].*?)```", (GUIDES / "cluster.md").read_text(), re.DOTALL)
    assert "zeus-ray restore --watch" in ours
    assert "zeusd serve" in daemon
    return {"zeus-ray-watchdog": ours, "zeusd": daemon}


@pytest.mark.processes
@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="needs systemd-analyze")
def test_the_units_are_valid(tmp_path):
    for name, text in _units().items():
        unit = tmp_path / f"{name}.service"
        unit.write_text(re.sub(r"(?m)^ExecStart=\S+", f"ExecStart={shutil.which('true')}", text))
        command = ["systemd-analyze", "verify", unit]
        checked = subprocess.run(command, capture_output=True, text=True, check=False)
        assert (checked.returncode, checked.stderr) == (0, "")


def _manifest():
    yaml = pytest.importorskip("yaml")
    return yaml.safe_load((DEPLOY / "zeus-ray-watchdog.yaml").read_text())


@pytest.mark.processes
@pytest.mark.filterwarnings("default")
def test_the_manifest_has_the_schema_of_kubernetes():
    schemas = pytest.importorskip("kubernetes_validate")
    manifest = _manifest()
    for version in ("1.25", schemas.latest_version()):  # the oldest that the package has, and the newest
        schemas.validate(manifest, version, strict=True)
    manifest["spec"]["template"]["spec"]["hostPid"] = True
    with pytest.raises(schemas.ValidationError, match="hostPid"):
        schemas.validate(manifest, version, strict=True)


def test_the_manifest_has_what_the_watchdog_needs():
    manifest = _manifest()
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
