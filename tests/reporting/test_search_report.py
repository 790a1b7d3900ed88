"""``zeus.show``: what it prints in a terminal, and what a notebook displays."""

import math
import sys
from types import SimpleNamespace

import pytest

import zeus_ray as zeus
from zeus_ray.records import TrialReport
from zeus_ray.reporting.final_metric_comparison import compare_final_metrics
from zeus_ray.reporting.show import SearchReport, show


def test_text_has_the_table_and_the_sentences(search):
    text = str(SearchReport(tuple(search)))
    assert "Energy" in text
    assert "baseline 32" in text
    assert "energy −25.0 %" in text
    assert "SIMULATED" in text


@pytest.mark.pictures
def test_html_has_the_table_the_sentences_and_the_plot(search):
    page = SearchReport(tuple(search))._repr_html_()
    assert page.count("<tr") == 1 + len(search)
    assert "energy −25.0 %" in page
    assert "data:image/png;base64,iVBOR" in page


@pytest.mark.pictures
def test_html_without_energy_has_no_plot_and_escapes_names(trial):
    strange = trial(8, math.nan, 10, hyperparameters={"kind": "<script>"})
    page = SearchReport((strange,), hyperparameters=("kind",))._repr_html_()
    assert "<img" not in page
    assert "<script>" not in page
    assert "&lt;script&gt;" in page


RESULT = [("a", {"batch_size": 8}, {"acc": 0.5, **TrialReport(energy_j=10.0, time_s=1.0).to_result()})]


def test_in_a_terminal_show_prints_and_returns_the_report(capsys):
    shown = zeus.show(RESULT, metric="acc")
    assert "acc" in capsys.readouterr().out
    assert shown.trials[0].metric == 0.5
    assert repr(shown) == "<1 trial, nothing reached the target: print() shows them>"


def test_in_a_notebook_show_prints_nothing(capsys, monkeypatch):
    shell = SimpleNamespace(kernel=object())
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: shell))
    assert show(RESULT).trials
    assert capsys.readouterr().out == ""


def test_another_type_is_refused():
    with pytest.raises(zeus.BadInput, match="cannot show a int"):
        show(7)


def test_learning_rate_advice_and_verified_metric_are_reported(trial):
    best = trial(64, 30_000, 480, lr=0.2, lr_rule="sqrt", advice="150 W would have taken less")
    sentences = " ".join(SearchReport((best,)).sentences)
    assert "learning rate is 0.2 (rule of thumb: sqrt), which zeus.verify(result) can check" in sentences
    assert "No limit could be set: 150 W would have taken less." in sentences
    verified = compare_final_metrics("acc", "max", ("batch size 64", [0.9] * 3), ("batch size 32", [0.9] * 3))
    sentences = " ".join(SearchReport((best,), verified=verified).sentences)
    assert "learning rate is 0.2 (rule of thumb: sqrt). " in sentences
    assert verified.sentence in sentences


def test_the_learning_rate_says_what_it_was_scaled_from(trial):
    baseline = trial(32, 40_000, 600, lr=0.1, lr_rule="linear", is_baseline=True)
    best = trial(64, 30_000, 480, lr=0.2, lr_rule="linear")
    said = " ".join(SearchReport((best, baseline)).sentences)
    assert "is 0.2 (rule of thumb: linear, from 0.1 at batch size 32), which" in said
