"""`vgen batch`: every row of a prompt file, one clip each. Knows what a person is told, and in which order things go.

Its options stand in `batch_options.py`; reading, checking, naming, making and writing down in `vgen_cli/batch/`.
"""

from __future__ import annotations

import contextlib
import sys
from collections import Counter
from collections.abc import Generator, Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import typer

from ..batch import space
from ..batch.boards import Board, Lines, board
from ..batch.checks import Asked, Checked, check
from ..batch.engines import Engine
from ..batch.engines.cluster import reach
from ..batch.engines.local import Local
from ..batch.jobs import LISTED, Job, Result
from ..batch.journal import History, Journal
from ..batch.names import TEMPLATE, Namer, check_format, check_out_dir
from ..batch.outdir import REPORT, alone, is_begun, refusal, sweep, written
from ..batch.pages import Pages
from ..batch.planner import Planner
from ..batch.survey import AGAIN, NEW, THERE, Finding, facts_of
from ..batch.telling import Telling
from ..errors import MediaError, RunError, UsageError
from ..events import BatchStarted, Fault, Listener
from ..explain import explain
from ..kept.settings import settings
from ..options import ShellOptions
from ..progress import duration
from ..quantities import human_bytes, human_rate
from ..recipe import Recipe
from ..weights import foreseen, located
from .batch_options import BatchOptions, EngineOptions, File, RowOptions
from .machine import check_device, check_folder
from .making import FACTS
from .naming import container_of, stem_of
from .showing import columns, one_line, say, say_json

EXAMPLES = (
    ("vgen batch prompts.txt", "every line, into the folder prompts/"),
    ("vgen batch prompts.txt --dry-run", "what it would make"),
    ("vgen batch rows.csv --out-dir clips --size 256x256 --steps 30", "what a row does not say"),
    ('vgen batch rows.yaml --name-template "{slug}-{width}x{height}-{seed}" --format webm', "names and kind of file"),
    ("vgen batch rows.jsonl --shard 2/4 --json", "the second quarter, facts as JSON"),
    ("vgen batch rows.jsonl --engine ray --address 10.0.0.1:6379", "on all machines of a Ray cluster"),
)


def batch(file: File, *, asked: BatchOptions, by: EngineOptions, rows: RowOptions, shell: ShellOptions) -> None:
    """Every row of a prompt file, one clip each, with the weights loaded once.

    A line of a .txt file is a prompt, with options after it where wanted: a red circle --w 256 --h 256 --f 17 --d
    SEED --s STEPS --g GUIDANCE --n NEGATIVE --i IMAGE, or the long names of t2v and i2v. A .csv file has a header, a
    .jsonl file an object a line, a .yaml file a list; their keys are prompt, width, height, num_frames, seed and so
    on. A row with an image is i2v, one with a video is v2v; command says it outright, output names the file. The
    options here hold for every row that does not say it itself. The paths of images and videos are looked for beside
    the file first, then from the current folder.

    All rows are checked before the first clip is made. A row without a seed gets one from its prompt, the same in
    every run. The same command again makes what is missing, changed, failed or damaged, and nothing else: a clip is
    known by its recipe, by what enters, and by the weights. DIR/journal.jsonl says what was done, DIR/report.jsonl
    what became of every row, and DIR/index.html shows the clips.
    """
    if not asked.events:
        _batch(Path(file), asked, by, rows, shell)
        return
    try:
        _batch(Path(file), asked, by, rows, shell)
    except typer.Exit:
        raise
    except BaseException as fault:
        if isinstance(fault, SystemExit | GeneratorExit):
            raise
        message, code = explain(fault)
        Lines(sys.stderr).tell(Fault(message, code))
        raise typer.Exit(code) from fault


def _batch(path: Path, options: BatchOptions, by: EngineOptions, rows: RowOptions, shell: ShellOptions) -> None:
    check_folder()
    settings()  # of what is kept: said wrong, they are found now
    folder = Path(options.out_dir) if options.out_dir else Path(path.stem)
    asked = Asked(
        path,
        folder,
        options.part(),
        overwrite=bool(options.overwrite),
        redo=bool(options.redo),
        skip_bad=bool(options.skip_bad),
        encoders=not shell.dry_run,
    )
    cluster, together = by.options(), by.together()
    elsewhere = cluster is not None and cluster["address"] is not None  # the weights and the devices
    if cluster is not None and not shell.dry_run:
        reach(cluster["address"])
    defaults = {**rows.values(), **({"format": check_format(options.format)} if options.format else {})}
    namer = Namer(folder, _slug, _extension, TEMPLATE if options.name_template is None else options.name_template)
    planner = Planner(foreseen if shell.dry_run or elsewhere else located)
    with contextlib.ExitStack() as stack:
        begun = is_begun(folder) and not shell.dry_run
        if begun:
            stack.enter_context(alone(folder, asked.shard))
        before = written(folder, asked.shard)
        checked = check(asked, defaults, namer, planner, (lambda _: None) if elsewhere else check_device)
        check_out_dir(folder)
        if shell.dry_run:
            _show(checked, planner, json_lines=bool(shell.json))
            return
        _make_folders(folder, checked)
        if not begun:
            stack.enter_context(alone(folder, asked.shard))
            if written(folder, asked.shard) != before:
                raise UsageError(f"another vgen batch has just been at work in {folder}; run the command again")
        findings = checked.survey.take(checked.findings)
        sweep(folder, asked.shard, (job.place.path for job in checked.rows.jobs))
        journal = stack.enter_context(Journal(folder, asked.shard, file=path.name, rows=len(checked.rows.jobs)))
        shown = stack.enter_context(
            board(quiet=bool(shell.quiet), verbose=bool(shell.verbose), events=bool(options.events))
        )
        run = _Run(checked, findings, planner, journal, shown, shell)
        if cluster is None:
            metadata = options.metadata is not False
            engine: Engine = Local(planner, run.clip, metadata=metadata, batch_size=together)
        else:
            from ..batch.engines.ray import Ray

            engine = Ray(planner, run.clip, say=run.telling.say, **cluster, metadata=options.metadata is not False)
        run.make(engine, keep_going=options.keep_going is not False)


class _Run:
    """One run of a batch that was checked: what is told and written down of it.

    Attributes:
        telling: what a person is told.
    """

    def __init__(
        self,
        checked: Checked,
        findings: list[Finding],
        planner: Planner,
        journal: Journal,
        shown: Board,
        shell: ShellOptions,
    ) -> None:
        self._planner, self._journal, self._shell = planner, journal, shell
        self._faults = checked.faults
        self._kept = [each for each in findings if each.is_kept]
        self._waiting = [each for each in findings if not each.is_kept]
        self._why = {each.job: each.state for each in self._waiting}
        kept = frozenset((each.job.key, checked.rows.name(each.job)) for each in self._kept)
        self._rows = replace(checked.rows, kept=kept)
        bad = len(self._rows.bad)
        self.telling = Telling(
            shown,
            BatchStarted(
                self._rows.file,
                str(self._rows.folder),
                clips=len(findings),
                waiting=len(self._waiting),
                there=len(self._kept),
                bad=bad,
            ),
        )

    @contextlib.contextmanager
    def clip(self, job: Job) -> Iterator[Listener]:
        """The listener of a clip, whose beginning the journal has."""
        self._journal.started(job)
        with self.telling.clip(job, self._why.get(job, "")) as listener:
            yield listener

    def make(self, engine: Engine, *, keep_going: bool) -> None:
        """Makes the clips that are to be made.

        Raises:
            RunError: some failed, or rows were left out.
            MediaError: the journal cannot be written.
        """
        self._tell_findings()
        for finding in self._kept:
            self._keep(finding)
        pages = Pages(self._rows, History(self._rows.folder))
        failed, stopped = [], ""
        try:
            with pages, contextlib.closing(self._results(engine)) as results:
                for result in results:
                    pages.done(result.job)
                    if not result.error:
                        continue
                    failed.append(result.job.line)
                    if stopped := refusal(self._rows.folder, space.expected(self._planner.check(result.job))):
                        break
                    if not keep_going:
                        break
        except KeyboardInterrupt as wish:
            from ..kept.keeper import THEN

            setattr(wish, THEN, "to continue: the same command again")
            raise
        finally:
            if pages.trouble:
                self.telling.say(pages.trouble)
            self.telling.end()
        if failed or self._faults.by_line:
            raise RunError(self._failure(failed, stopped))

    def _results(self, engine: Engine) -> Generator[Result, None, None]:
        """The results, each written down before it is told."""
        with contextlib.closing(_closable(engine.run([each.job for each in self._waiting]))) as results:
            for result in results:
                result = self._written_down(result)
                self.telling.count(result)
                if self._shell.debug and result.trace:
                    self.telling.say(result.trace)
                if not result.error:
                    with self.telling.aside() if sys.stdout.isatty() else contextlib.nullcontext():
                        self._print(result)
                yield result

    def _written_down(self, result: Result) -> Result:
        if not result.error:
            try:
                self._journal.done(result.job, seconds=result.seconds, facts=result.facts)
                return result
            except MediaError as fault:  # the clip is gone, or the disk is full
                result = replace(result, error=str(fault), facts={})
        self._journal.failed(result.job, seconds=result.seconds, error=result.error)
        return result

    def _print(self, result: Result) -> None:
        job = result.job
        if self._shell.json:
            known = {"path": str(job.place), "seed": job.recipe.seed, "recipe": job.recipe.to_dict()}
            say_json({**dict.fromkeys(FACTS), **known, **result.facts, "line": job.line, "status": "done"})
        else:
            say(str(job.place))

    def _keep(self, finding: Finding) -> None:
        """Has the journal know a clip at its place, where it does not yet."""
        job, entry = finding.job, finding.entry
        if entry is None:
            recipe = job.recipe
            facts = {**facts_of(job.place), "seed": recipe.seed, "model": recipe.model, "recipe": recipe.to_dict()}
            self._journal.done(job, facts=facts, found=True)
        elif entry.path != self._rows.name(job) or not finding.is_latest:
            values = entry.values
            self._journal.done(job, seconds=values.get("seconds"), facts=values.get("facts") or {}, was=entry.path)

    def _tell_findings(self) -> None:
        counts = Counter(each.state for each in (*self._kept, *self._waiting))
        if set(counts) not in ({NEW}, {THERE}, set()):
            self.telling.say(", ".join(f"{count} {state}" for state, count in counts.items()))
        replaced = [each for each in self._waiting if each.job.replaces and each.state != AGAIN]
        for each in replaced[:LISTED]:
            self.telling.say(f"line {each.job.line}: {each.job.place} is replaced: {each.state}")
        if len(replaced) > LISTED:
            self.telling.say(f"… and {len(replaced) - LISTED} more are replaced")
        if self._faults.by_line:
            lines = self._faults.listed()
            self.telling.say("\n  ".join([f"{self._faults.path}: bad rows are left out", *lines]))
        if remark := space.remark((self._planner.check(each.job) for each in self._waiting), self._rows.folder):
            self.telling.say(remark)

    def _failure(self, failed: list[int], stopped: str) -> str:
        report = self._rows.folder / REPORT
        parts = []
        if stopped:
            parts.append(f"{stopped}; {self.telling.missing} clips were not begun")
        if failed:
            parts.append(f"{len(failed)} of {len(self._waiting)} clips failed, at {_lines(failed)}; {report} says why")
        if self._faults.by_line:
            bad = sorted(self._faults.by_line)
            parts.append(f"{_counted(len(bad), 'row')} of {self._faults.path} could not be, at {_lines(bad)}")
        again = ", and the same command again makes what is missing" if failed else ""
        return "; ".join(parts) + again


def _closable(results: Iterator[Result]) -> Generator[Result, None, None]:
    """An engine's results, whatever kind of iterator they are."""
    yield from results


def _lines(numbers: list[int]) -> str:
    lines = list(dict.fromkeys(numbers))
    return f"line{'s' if len(lines) > 1 else ''} {', '.join(map(str, lines[:LISTED]))}" + (
        " …" if len(lines) > LISTED else ""
    )


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"


def _slug(recipe: Recipe) -> str:
    return stem_of(recipe).removesuffix(f"-{recipe.seed}")


def _extension(recipe: Recipe) -> str:
    container = container_of(recipe)
    return "png" if container == "still" else container


def _make_folders(folder: Path, checked: Checked) -> None:
    places = (each.job.place.path.parent for each in checked.findings)
    for each in dict.fromkeys([folder, *places]):
        try:
            each.mkdir(parents=True, exist_ok=True)
        except OSError as fault:
            raise UsageError(f"the folder {each} cannot be made: {fault.strerror}; choose another --out-dir") from None


def _show(checked: Checked, planner: Planner, *, json_lines: bool) -> None:
    """What would be made: a table with totals, or a JSON line a clip."""
    table: list[tuple[object, ...]] = [("line", "command", "size", "frames", "fps", "file", "")]
    seconds, size = Fraction(0), 0
    for finding in checked.findings:
        job = finding.job
        if json_lines:
            plan, _ = planner.plan(job)
            told = {"line": job.line, "path": str(job.place), "there": finding.is_kept, "state": finding.state}
            say_json({**told, **plan.to_dict()})
            continue
        plan = planner.check(job)
        output = plan.output
        seconds += output.num_frames / output.fps
        size += 0 if finding.is_kept else space.expected(plan)
        remark = "" if finding.state == NEW else finding.state
        if finding.source is not None:
            remark += f", {finding.source.name}"
        sides = f"{output.width}x{output.height}"
        rate = human_rate(output.fps)
        table.append((job.line, job.recipe.command, sides, output.num_frames, rate, job.place, remark))
    if json_lines:
        return
    kept = sum(each.is_kept for each in checked.findings)
    summary = f"{len(checked.findings)} clips, {duration(float(seconds))} in all; {kept} there already"
    say(f"{columns(table)}\n\n{summary}" + (f"; about {human_bytes(size)} to write" if size else ""))
    for line in checked.faults.listed():
        say(f"left out: {one_line(line)}")
    for note in planner.notes:
        say(f"note: {one_line(note)}")
