"""Records on the way into a paper: as a frame of pandas, and in LaTeX."""

import shutil
import subprocess
from pathlib import Path

import pandas
import pytest
from matplotlib.figure import Figure

import hyperlearn as hl
from hyperlearn import results, tables

RECORDS = Path(__file__).parent.parent / "results"
KEPT = [result for result in results.read_all(RECORDS) if not hl.recipes.deviations(result)]


def test_a_frame_has_one_row_a_record() -> None:
    frame = results.frame(RECORDS)
    assert len(frame) == len(list(results.read_all(RECORDS)))
    (row,) = frame.query("method == 'hnet' and benchmark == 'split-mnist' and scenario == 'cl2' and seed == 3").to_dict(
        "records"
    )
    kept = results.read(results.record_path(RECORDS, "split-mnist", "hnet", "cl2", 3))
    assert row["average_accuracy"] == kept.average_accuracy
    assert row["config.beta"] == kept.config["beta"]
    assert row["parameters.trainable"] == kept.parameters.trainable
    assert row["seconds.train"] == sum(kept.seconds.train)
    assert pandas.isna(row["config.strength"])  # EWC's


def test_the_mean_of_a_frame_is_the_mean_of_the_table() -> None:
    frame = results.frame(KEPT)
    means = frame.groupby(["benchmark", "method", "scenario"]).average_accuracy.mean()
    cells = [cell for cell in tables.table(1, KEPT) if cell.n]
    assert len(cells) > 20
    for cell in cells:
        assert means[cell.benchmark, cell.method, cell.scenario] * 100 == pytest.approx(cell.mean)


def test_seaborn_draws_a_frame() -> None:
    import seaborn

    data = results.frame(KEPT).query("benchmark == 'split-mnist'")
    axes = seaborn.pointplot(data, x="scenario", y="average_accuracy", hue="method", ax=Figure().subplots())
    assert len(axes.get_legend_handles_labels()[1]) == data.method.nunique()


def test_a_frame_of_what_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(hl.InputError, match="no results folder"):
        results.frame(tmp_path / "none")
    assert results.frame(tmp_path).empty


def test_tables_in_latex_say_what_the_cells_say() -> None:
    for number in (1, 2, 3):
        cells = tables.table(number, KEPT)
        made = tables.latex(cells)
        for cell in cells:
            assert f"{cell.paper_mean:.2f}" in made
            assert cell.mean is None or f"{cell.mean:.2f}" in made
        assert made.count("measured &") == len({cell.method for cell in cells})
        assert made.count("{") == made.count("}")


def test_claims_in_latex_have_interval_and_p() -> None:
    made = tables.latex(tables.claims(1, "split-mnist", KEPT))
    assert made.count(r"\\") == 16
    assert "lstm-net over hnet & split-mnist & cl3 & $" in made
    with pytest.raises(hl.InputError, match="at least one"):
        tables.latex([])


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="LaTeX is not installed")
def test_latex_takes_it(tmp_path: Path) -> None:
    made = [tables.latex(tables.table(2, KEPT)), tables.latex(tables.claims(1, "split-mnist", KEPT))]
    text = r"\documentclass{article}\usepackage{booktabs}\begin{document}" + "\n\n".join(made) + r"\end{document}"
    (tmp_path / "a.tex").write_text(text)
    subprocess.run(["pdflatex", "-halt-on-error", "a.tex"], cwd=tmp_path, check=True, capture_output=True)
