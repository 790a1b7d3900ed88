"""A new provider is one file and one line: here a dummy, opened from code and from the command line."""

import sys
import textwrap

import pytest

from zeus_ray.carbon.open_signal import open_signal, signal_specs
from zeus_ray.carbon.providers.provider_registry import PROVIDERS, make_provider, provider_class
from zeus_ray.cli.main import main
from zeus_ray.errors import BadInput

THE_FILE = """
    from dataclasses import dataclass
    from typing import ClassVar

    import numpy as np

    from zeus_ray.carbon.providers.provider import Provider
    from zeus_ray.carbon.series import Series


    @dataclass(frozen=True)
    class DummyProvider(Provider):
        name: ClassVar[str] = "dummy"
        spec: ClassVar[str] = "dummy:ZONE"
        description: ClassVar[str] = "a provider of this test"
        zones: ClassVar[str] = "one such as NORTH"
        zone_pattern: ClassVar[str] = "[A-Z]+"

        def fetch(self, since_s, now_s):
            hours = int((now_s - since_s) // 3600)
            return Series(now_s - hours * 3600.0, 3600.0, np.full(hours, 123.0)), None
"""


@pytest.fixture(autouse=True)
def dummy(tmp_path, monkeypatch):
    (tmp_path / "dummy_provider.py").write_text(textwrap.dedent(THE_FILE))
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "dummy_provider", raising=False)
    monkeypatch.setitem(PROVIDERS, "dummy", "dummy_provider:DummyProvider")  # the line


def test_it_is_opened_and_fetched():
    signal = open_signal("dummy:NORTH")
    assert signal.refresh()
    assert signal.at(signal.cached.fetched_s - 60.0) == 123.0
    assert signal.source == make_provider("dummy", "NORTH")


def test_it_is_used_by_the_command_line(capsys):
    assert main(["carbon", "--signal", "dummy:NORTH"]) == 0
    assert "123 gCO2eq/kWh now" in capsys.readouterr().out


@pytest.mark.slow
def test_it_is_listed_in_help_and_errors(capsys):
    assert ("dummy:ZONE", "a provider of this test") in signal_specs()
    assert main(["carbon", "--help"]) == 0
    assert "--signal dummy:ZONE" in capsys.readouterr().out
    with pytest.raises(BadInput, match=r"allowed: constant:NUMBER, csv:PATH, uk, .*, dummy:ZONE"):
        open_signal("dumy:NORTH")
    with pytest.raises(BadInput, match="zone of dummy is 'north'; allowed: one such as NORTH"):
        open_signal("dummy:north")


def test_nothing_is_imported_until_it_is_used():
    open_signal("constant:400")
    assert "dummy_provider" not in sys.modules


@pytest.mark.parametrize("name", list(PROVIDERS))
def test_every_provider_is_named_as_in_the_registry(name):
    kind = provider_class(name)
    assert kind.name == name
    assert kind.spec.partition(":")[0] == name
    assert kind.description
    assert kind.zones
