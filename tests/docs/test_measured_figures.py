"""Each figure that a page takes from the results of a benchmark is the one that stands there today."""

import math
import re
import statistics

import pytest
from pages import DOCS, ROOT


def results(name, heading):
    """A section of a page of results."""
    page = (ROOT / "benchmarks" / name).read_text()
    return page.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]


def on_page(path):
    """A page with each run of white space as one space."""
    return re.sub(r"\s+", " ", path.read_text())


@pytest.fixture(scope="module")
def half_b():
    """What the benchmark printed for the half of the recorded curves that no constant was fitted to."""
    return results("REGRET.md", "On real learning curves").partition("--half b")[2]


def test_the_readme_says_what_jobs_save_that_chose_no_constant(half_b):
    regrets = re.findall(
        r"^\S+ +card\d+ .*? (-?[\d.]+) +-?[\d.]+ +(-?[\d.]+) +[\d.]+ +over", half_b, re.MULTILINE
    )
    rows = regrets[:26]  # half a follows
    shares = [(50 + float(ours)) / (50 + float(default)) for ours, default in rows]
    less = [100 * (1 - share) for share in shares]
    text = on_page(ROOT / "README.md")
    worst = f"{abs(min(less)):.0f} % {'less' if min(less) >= 0 else 'more'}"
    span = f"from {max(less):.0f} % less to {worst}"
    assert f"50 trainings cost {statistics.mean(less):.0f} % less on average, {span}" in text
    assert (
        "On 26 jobs to which no constant was fitted (recorded learning curves on two modelled GPUs)" in text
    )
    assert f"half of these jobs save less than {math.ceil(statistics.median(less))} %" in text


def test_the_guide_says_how_sure_an_answer_is(half_b):
    jobs, within, least = re.search(
        r"^(\d+) jobs.* within (\d+)%.*\njobs: least (\d+)%",
        results("REGRET.md", "The interval of an answer"),
        re.MULTILINE,
    ).groups()
    near = re.findall(r"^zeus-ray +[\d.]+ +[\d.]+ +[\d.]+ +(\d+)%", half_b, re.MULTILINE)[0]
    text = on_page(DOCS / "guides" / "ray_tune.md")
    assert f"{within} % of the trainings were within it, and {least} % in the worst of {jobs} jobs" in text
    assert f"{near} % of the searches ended with an answer at most 5 % above the best one" in text


def test_the_guide_says_how_many_windows_a_long_run_has():
    page = (ROOT / "benchmarks" / "ONLINE.md").read_text()
    windows = [int(row) for row in re.findall(r"^ +10 min .*\) +(\d+) +[\d.]+% ", page, re.MULTILINE)]
    assert len(windows) == 7
    text = on_page(DOCS / "guides" / "one_long_run.md")
    assert f"a run of ten minutes has {min(windows)} to {max(windows)} windows" in text


def test_the_guide_says_what_following_the_grid_saves():
    hours, limits = (results("CARBON.md", heading) for heading in ("Trials over time", "Power over time"))
    saved = re.findall(r"^\| (?:ciso|erco|miso)\S* \|(?: [^|]+ \|){4} ([\d.]+) \(", hours, re.MULTILINE)
    rows = re.findall(r" (-[\d.]+) % \| (-[\d.]+) % \| -[\d.]+ % \|$", limits, re.MULTILINE)
    more = max(float(static) - float(following) for following, static in rows)
    assert (len(saved), len(rows)) == (3, 18)
    text = on_page(DOCS / "guides" / "carbon_and_price.md")
    assert f"{min(map(float, saved))} % to {max(map(float, saved))} % of the emissions" in text
    assert f"at most {more:.1f} points more than one fixed limit" in text
