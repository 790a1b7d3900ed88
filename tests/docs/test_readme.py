"""The README is short, and what it claims is what was measured."""

import re
import sys

import pytest
from pages import DOCS, ROOT, blocks

README = (ROOT / "README.md").read_text()
TWO_SCREENS = 90
"""Lines."""


def test_it_fits_two_screens():
    assert len(README.splitlines()) <= TWO_SCREENS


def test_it_names_the_two_commands():
    shell = "".join(blocks(ROOT / "README.md", "sh"))
    assert re.findall(r"^make (\w+)", shell, re.MULTILINE) == ["demo", "test"]


def test_each_link_to_a_file_leads_somewhere():
    for page in (ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "SECURITY.md"):
        links = re.findall(r"\]\(([^):#]+)(?:#[\w-]+)?\)", page.read_text())
        assert [link for link in links if not (ROOT / link).exists()] == []


def test_the_version_to_cite_is_the_version():
    versions = [
        re.search(r'^version(?: =|:) "?([\d.]+)"?$', (ROOT / name).read_text(), re.MULTILINE)[1]
        for name in ("pyproject.toml", "CITATION.cff")
    ]
    assert len(set(versions)) == 1


def test_ci_and_pre_commit_call_the_make_targets():
    yaml = pytest.importorskip("yaml")
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    jobs = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text())["jobs"]
    assert set(jobs["make"]["strategy"]["matrix"]["target"]) <= targets
    called = set(re.findall(r"^make (\w+)", (ROOT / ".ci" / "run").read_text(), re.MULTILINE))
    assert set(jobs["make"]["strategy"]["matrix"]["target"]) == called
    (repo,) = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    assert [hook["entry"] for hook in repo["hooks"]] == ["make check"]


@pytest.mark.pictures
def test_its_saving_is_that_of_the_table_in_the_benchmarks(monkeypatch):
    monkeypatch.setattr(sys, "path", [*sys.path, str(DOCS)])
    from draw_figures import cost_shares

    shares = cost_shares((ROOT / "benchmarks" / "REGRET.md").read_text()).values()
    least, most = (round(100 * (1 - share)) for share in (max(shares), min(shares)))
    assert f"50 trainings cost {least} % to {most} % less" in README
    assert len(shares) == 6
