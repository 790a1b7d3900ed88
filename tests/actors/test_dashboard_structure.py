"""The structure of the Grafana dashboard, as far as it can be checked without Grafana."""

import json
from pathlib import Path

import zeus_ray

DASHBOARD = json.loads((Path(zeus_ray.__file__).parent / "actors" / "grafana.json").read_text())
PANELS = DASHBOARD["panels"]
COLUMNS = 24


def test_each_panel_has_a_unit_a_data_source_and_queries_of_its_own():
    assert {variable["name"] for variable in DASHBOARD["templating"]["list"]} == {"datasource"}
    assert len({panel["id"] for panel in PANELS}) == len(PANELS)
    for panel in PANELS:
        assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
        assert panel["fieldConfig"]["defaults"]["unit"] in {"watt", "joule"}
        refs = [target["refId"] for target in panel["targets"]]
        assert len(set(refs)) == len(refs) > 0


def test_panels_do_not_overlap():
    taken = set()
    for panel in PANELS:
        x, y, width, height = (panel["gridPos"][name] for name in "xywh")
        cells = {(column, row) for column in range(x, x + width) for row in range(y, y + height)}
        assert x + width <= COLUMNS
        assert not cells & taken
        taken |= cells
