"""Tables: printing and reading back."""

import math

import pytest

from lgae_pyg.tables import Table, format_value, format_with_range, read_csv, with_errors

TABLE = Table(
    "errors",
    "Errors of two models.",
    {"model": "model", "median": "mass median", "n": "jets"},
    (("LGAE a|b, c", 0.1 + 0.2, 3), ('say "x"', -1.25e-7, 12), ("none", math.inf, 0)),
)


def test_csv_is_read_back_exactly():
    names, rows = read_csv(TABLE.to_csv())
    assert names == ["model", "median", "n"]
    assert rows == list(TABLE.rows)
    assert [type(value) for value in rows[0]] == [str, float, int]


def test_markdown_has_the_rounded_values():
    lines = TABLE.to_markdown().splitlines()
    assert lines[0] == "| model | mass median | jets |"
    assert lines[1] == "| --- | ---: | ---: |"
    assert lines[2] == "| LGAE a\\|b, c | 0.300 | 3 |"
    assert lines[3] == '| say "x" | -1.25e-07 | 12 |'
    assert lines[-1] == TABLE.caption


def test_text_is_aligned():
    first, second, rule, *rows = TABLE.to_text().split("\n\n")[0].splitlines()
    assert first.split() == ["mass"] and second.split() == ["model", "median", "jets"]
    assert set(rule) == {"-"} and {len(row) for row in rows} == {len(second)} == {len(rule)}


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"), (0.5, "0.500"), (1.0, "1.00"), (99.96, "100"), (61.6667, "61.7"), (1234.5, "1234"),
        (2.5e7, "2.50e+07"), (-0.00123, "-0.00123"), (0.000999, "9.99e-04"), (7, "7"), ("τ", "τ"),
        (math.nan, "nan"), (-math.inf, "-inf"),
    ],
)  # fmt: skip
def test_numbers_are_printed_with_three_digits(value, text):
    assert format_value(value) == text


def test_columns_and_rows_must_fit():
    assert TABLE.column("n") == [3, 12, 0]
    assert TABLE.records()[1]["median"] == -1.25e-7
    with pytest.raises(ValueError, match="no column 'mean'; it has model, median, n"):
        TABLE.column("mean")
    with pytest.raises(ValueError, match="1 values for 2 columns"):
        Table("bad", "", {"a": "a", "b": "b"}, ((1,),))


def test_saving_writes_both_forms(tmp_path):
    TABLE.save(tmp_path / "new")
    assert (tmp_path / "new" / "errors.csv").read_text() == TABLE.to_csv()
    assert (tmp_path / "new" / "errors.md").read_text() == TABLE.to_markdown()
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == ["errors.csv", "errors.md"]


def test_columns_of_errors_say_what_they_are_errors_of():
    columns = with_errors({"auc": "AUC", "sic": "max SIC"})
    assert columns == {"auc": "AUC", "auc_error": "± AUC", "sic": "max SIC", "sic_error": "± max SIC"}
    assert list(columns)[1::2] == ["auc_error", "sic_error"]


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ((0.9697, 0.96848, 0.97042), "0.9697 (0.9685–0.9704)"),
        ((63.7, 59.1, 66.2), "63.7 (59.1–66.2)"),
        ((104.2, 93.1, 114.4), "104 (93–114)"),
        ((0.96, 0.95999, 0.96001), "0.9600 (0.9600–0.9600)"),  # four digits at most
        ((3.05e-7, 3e-7, 3.1e-7), "3.05e-07 (3.00e-07–3.10e-07)"),
        ((0.0, -0.5, 0.5), "0.0 (-0.5–0.5)"),
        ((0.0121, 0.00048, 0.0159), "0.0121 (4.80e-04–0.0159)"),  # an end that is not zero
        ((50.0, 40.0, math.inf), "50.0 (40.0–inf)"),
        ((0.5, 0.5, 0.5), "0.500"),
        ((math.nan, math.nan, math.nan), "nan"),
    ],
)
def test_a_number_between_the_smallest_and_the_largest(values, text) -> None:
    assert format_with_range(*values) == text


def test_numbers_of_numpy_are_written_as_numbers():
    """numpy 2 says ``np.float64(0.5)`` of its own."""

    class Spelled(float):
        def __repr__(self):
            return f"np.float64({float(self)})"

    assert Table("t", "", {"a": "a"}, ((Spelled(0.5),),)).to_csv() == "a\n0.5\n"
