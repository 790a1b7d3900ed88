"""The reference is complete: public names, result keys, commands, environment variables."""

import dataclasses
import re

import pytest
from pages import DOCS, PAGES, ROOT, blocks, table_column
from sources import FILES

import zeus_ray
from zeus_ray import records
from zeus_ray.records import StopReason, TrialReport, result_key

REFERENCE = DOCS / "reference"


def test_each_public_name_has_an_entry():
    page = (REFERENCE / "python.md").read_text()
    entries = set(re.findall(r"^::: zeus_ray\.(\w+)$", page, re.MULTILINE))
    assert entries >= set(zeus_ray.__all__)


def test_each_result_key_is_in_the_table():
    keys = table_column(REFERENCE / "result_keys.md", "key")
    assert sorted(keys) == sorted(result_key(field.name) for field in dataclasses.fields(TrialReport))


def test_each_reason_to_stop_is_in_the_table():
    assert sorted(table_column(REFERENCE / "result_keys.md", "reason")) == sorted(StopReason)


def test_each_environment_variable_is_in_the_table():
    code = "\n".join(path.read_text() for path in FILES)
    used = set(re.findall(r"\b(?:ZEUS_RAY|ZEUSD|ELECTRICITYMAPS|WATTTIME)_[A-Z_]*[A-Z]\b", code))
    used -= {"WATTTIME_TIMEOUT_S", "ZEUSD_TIMEOUT_S", "ZEUSD_SOCKET_VARIABLE", "ZEUSD_TOKEN_VARIABLE"}
    assert set(table_column(REFERENCE / "environment.md", "variable")) >= used


def test_each_measurement_is_explained():
    assert sorted(table_column(DOCS / "how_it_works" / "power_limits.md", r"`zeus/measured_by`")) == sorted(
        records.MeasuredBy
    )


def test_each_file_of_the_architecture_exists():
    text = (DOCS / "how_it_works" / "architecture.md").read_text()
    drawing = (DOCS / "assets" / "architecture.svg").read_text()
    named = re.findall(r"`([\w/]+/\w+\.py)`", text)
    places = (ROOT, ROOT / "zeus_ray", ROOT / "zeus_ray" / "search")
    assert [name for name in named if not any((place / name).exists() for place in places)] == []
    assert len(named) > 30
    drawn = [ROOT / "zeus_ray" / name for name in re.findall(r">(\w+/\w*)[:<]", drawing)]
    assert [path for path in drawn if not (path.is_dir() or path.with_suffix(".py").exists())] == []
    assert len(drawn) > 5


@pytest.fixture(scope="module")
def commands():
    """The commands by name, such as "job run", with their options."""
    from typer.main import get_command

    from zeus_ray.cli.main import app

    def leaves(command, words):
        if not hasattr(command, "commands") or command.invoke_without_command:
            yield " ".join(words), {text for option in command.params for text in option.opts}
        for name, inner in getattr(command, "commands", {}).items():
            yield from leaves(inner, [*words, name])

    found = dict(leaves(get_command(app), []))
    found.pop("", None)
    return dict(sorted(found.items(), reverse=True))  # the longest of names that begin alike first


def test_each_command_has_a_section_with_its_options(commands):
    page = (REFERENCE / "command_line.md").read_text()
    sections = re.findall(r"^## zeus-ray (.+)$", page, re.MULTILINE)
    assert sorted(sections) == sorted(commands)
    assert re.findall(r"<!-- options of: (.+) -->", page) == sections


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_each_command_and_option_on_a_page_exists(page, commands):
    shell = "".join(blocks(page, "sh")).replace("\\\n", " ")
    lines = re.findall(r"zeus-ray ((?:doctor|restore|demo|carbon|job|run) .*)$", shell, re.MULTILINE)
    lines += re.findall(r"`zeus-ray ([a-z][^`]*)`", page.read_text())
    for line in lines:
        words = line.split(" -- ")[0].split("#")[0]
        name = next(name for name in commands if words.startswith(name))
        assert set(re.findall(r"--[a-z][\w-]+", words)) <= commands[name] | {"--help"}, line


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_each_result_key_on_a_page_exists(page):
    named = set(re.findall(r"`(zeus/\w+)`", page.read_text()))
    assert named <= set(TrialReport().to_result())


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_each_make_target_on_a_page_exists(page):
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    text = page.read_text()
    named = re.findall(r"`make ([a-z-]+)`", text) + re.findall(r"^make ([a-z-]+)", text, re.MULTILINE)
    assert set(named) <= targets


def test_each_figure_is_drawn_by_the_command_or_by_hand():
    drawn = (DOCS / "draw_figures.py").read_text()
    for path in (DOCS / "assets").iterdir():
        if path.suffix in (".png", ".svg") and 'class="diagram"' not in path.read_bytes().decode(
            errors="ignore"
        ):
            assert f'"{path.name}"' in drawn, path.name


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_each_block_of_yaml_is_yaml(page):
    yaml = pytest.importorskip("yaml")
    assert all(yaml.safe_load(block) for block in blocks(page, "yaml"))
