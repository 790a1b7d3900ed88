"""``zeus.show``: printed in a terminal, displayed by a notebook."""

import math
import sys
from types import SimpleNamespace

import pytest

import zeus_ray as zeus
from zeus_ray.records import TrialReport
from zeus_ray.reporting.html import Shown, show
from zeus_ray.reporting.verification import compared


def test_text_holds_table_and_sentences(search):
    text = str(Shown(tuple(search)))
    assert "Energy" in text
    assert "baseline 32" in text
    assert "25.0 % less energy" in text
    assert "SIMULATED" in text


@pytest.mark.pictures
def test_html_holds_table_sentences_and_picture(search):
    page = Shown(tuple(search))._repr_html_()
    assert page.count("<tr") == 1 + len(search)
    assert "25.0 % less energy" in page
    assert "data:image/png;base64,iVBOR" in page


@pytest.mark.pictures
def test_html_without_energy_has_no_picture_and_escapes(trial):
    strange = trial(8, math.nan, 10, others={"kind": "<script>"})
    page = Shown((strange,), others=("kind",))._repr_html_()
    assert "<img" not in page
    assert "<script>" not in page
    assert "&lt;script&gt;" in page


RESULT = [("a", {"batch_size": 8}, {"acc": 0.5, **TrialReport(energy_j=10.0, time_s=1.0).to_result()})]


def test_show_prints_and_returns(capsys):
    shown = zeus.show(RESULT, metric="acc")
    assert "acc" in capsys.readouterr().out
    assert shown.trials[0].metric == 0.5
    assert repr(shown) == "<1 trials: print() shows them>"


def test_in_a_notebook_the_cell_displays_it(capsys, monkeypatch):
    shell = SimpleNamespace(kernel=object())
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: shell))
    assert show(RESULT).trials
    assert capsys.readouterr().out == ""


def test_what_is_no_result_is_refused():
    with pytest.raises(zeus.BadInput, match="cannot show a int"):
        show(7)


def test_the_rate_the_advice_and_the_verified_metric_of_the_best_are_told(trial):
    best = trial(64, 30_000, 480, lr=0.2, lr_rule="sqrt", advice="150 W would have taken less")
    told = " ".join(Shown((best,)).sentences)
    assert "learning rate is 0.2 by the rule 'sqrt', a rule of thumb, which zeus_ray.verify can check" in told
    assert "No limit could be set: 150 W would have taken less." in told
    verified = compared("acc", "max", ("batch size 64", [0.9] * 3), ("batch size 32", [0.9] * 3))
    told = " ".join(Shown((best,), verified=verified).sentences)
    assert "a rule of thumb. " in told
    assert verified.sentence in told
