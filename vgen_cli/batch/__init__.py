"""Many clips from one file: its rows read and checked, then rendered one after another, and a report kept.

    inline.py       a line of a .txt file: a prompt and its options
    yaml_rows.py    the items of a YAML list
    formats.py      a prompt file of any kind → rows of plain values, each with its line
    manifest.py     rows → recipes, with faults that name the line
    names.py        where each clip goes
    jobs.py         recipes with their seeds and places: what an engine is given
    planner.py      jobs → plans, each model located once
    engines/        who does the work
    report.py       report.jsonl
    telling.py      what a person is told meanwhile

Knows no option of the command line.
"""
