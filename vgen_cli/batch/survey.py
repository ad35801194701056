"""What earlier runs have left: which clips of a batch are there, which can be taken over, which are to be made and why.

A clip is trusted where the journal, its key and its bytes agree; one that no journal knows, where it carries the very
key and can be played. What stands at a place and is not this batch's is never replaced unasked. Changes
nothing on the disk, but for `take`.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..errors import UsageError
from ..media.destination import Destination, check_destination
from ..media.digest import digest
from ..media.facts import ClipFacts
from ..media.metadata import read_recipe
from ..media.picture import picture_facts
from ..media.probe import probe
from .jobs import Job
from .journal import FAILED as HAS_FAILED
from .journal import STARTED, Entry, History, weigh
from .outdir import HIDDEN
from .planner import Planner

THERE, ADOPTED, RENAMED = "there already", "found, and the very one", "called otherwise before"
NEW, REPLACES, CHANGED, DAMAGED = "new", "replaces another file", "changed", "not as it was written"
FAILED, UNFINISHED, GONE, AGAIN = "failed before", "unfinished", "gone", "made again"
KEPT = (THERE, ADOPTED, RENAMED)
"""Of a clip that need not be made."""

_KEY = "key"  # in the file, see `commands.recording`


@dataclass(frozen=True)
class Finding:
    """What becomes of a job.

    Attributes:
        state: one of the words above.
        entry: what the journal says of the clip that is kept.
        source: where a clip that is called otherwise now lies.
        is_latest: whether that is also the journal's last word on the place.
    """

    job: Job
    state: str
    entry: Entry | None = None
    source: Path | None = None
    is_latest: bool = False

    @property
    def is_kept(self) -> bool:
        """Whether the clip need not be made."""
        return self.state in KEPT


class Survey:
    """A look at the folder of a batch.

    Args:
        file: the name of the prompt file: only what its own rows have made may be replaced or renamed.
        wanted: places of all clips of the file, of this shard or not.
        overwrite: whether files of unknown origin may be replaced.
        redo: whether clips that are there are made again.
    """

    def __init__(
        self,
        folder: Path,
        history: History,
        planner: Planner,
        file: str,
        wanted: Iterable[Job],
        *,
        overwrite: bool,
        redo: bool,
    ) -> None:
        self._folder, self._history, self._planner, self._file = folder, history, planner, file
        self._wanted = {job.place.path for job in wanted}
        self._overwrite, self._redo = overwrite, redo
        self._used: set[Path] = set()

    def look(self, job: Job) -> Finding:
        """What becomes of a job, as far as its own place says.

        Raises:
            UsageError: something stands there that this batch did not make, or that is no clip.
        """
        path = job.place.path
        if not os.path.lexists(path) or _is_empty(job.place):
            return Finding(job, self._why_missing(job))
        check_destination(job.place, overwrite=True)
        entry = self._entry(job, path)
        if entry is not None and not self._redo:
            self._used.add(path)
            last = self._last(path)
            same = last is not None and (last.event, last.key) == (entry.event, entry.key)
            return Finding(job, THERE, entry, is_latest=same)
        job, last = replace(job, replaces=True), self._last(path)
        ours = last is not None and last.file == self._file
        # Killed, or the disk full, between the file and its line in the journal:
        unwritten = last is None or last.event in (STARTED, HAS_FAILED)
        if unwritten and not self._redo and self._is_the_one(job):
            return Finding(job, ADOPTED)
        if not ours and entry is None and not self._overwrite:
            whose = f"was made from {last.file}" if last else "was not made by this batch"
            raise UsageError(f"{job.place} is there and {whose}; add --overwrite to replace it, or name the clip anew")
        if self._redo:
            return Finding(job, AGAIN)
        if not ours:
            return Finding(job, REPLACES)
        if last is not None and last.key == job.key:
            return Finding(job, UNFINISHED if last.event == STARTED else DAMAGED)
        return Finding(job, CHANGED)

    def read(self, job: Job) -> None:
        """Reads what stands at a job's place where `look` would, which then need not: from any thread, ahead of it."""
        if not self._redo and job.key in self._history.made:
            self._entry(job, job.place.path)

    def elsewhere(self, finding: Finding) -> Finding:
        """The same, or that the clip lies at another place, where a row before another one came or went.

        To be asked when `look` has been asked of all jobs.
        """
        if finding.is_kept or self._redo or finding.state == REPLACES:
            return finding
        for entry in self._history.made.get(finding.job.key, ()):
            kept = self._folder / HIDDEN / _aside(finding.job)
            for source in (self._folder / entry.path, kept):
                fits = source not in self._used and entry.file == self._file
                if fits and self._has_kind(source, finding.job.place) and self._is(entry, source):
                    self._used.add(source)
                    return replace(finding, state=RENAMED, entry=entry, source=source)
        return finding

    def _last(self, path: Path) -> Entry | None:
        return self._history.last.get(path.relative_to(self._folder).as_posix())

    def _why_missing(self, job: Job) -> str:
        last = self._last(job.place.path)
        if last is None or last.key != job.key:
            return NEW if last is None else CHANGED
        return {"failed": FAILED, "done": GONE, "started": UNFINISHED}[last.event]

    def _entry(self, job: Job, path: Path) -> Entry | None:
        """The journal's word that this very file is the clip of the job."""
        return next((each for each in self._history.made.get(job.key, ()) if self._is(each, path)), None)

    def _is(self, entry: Entry, path: Path) -> bool:
        values = entry.values
        with contextlib.suppress(OSError):
            return weigh(path) == values.get("size") and digest(path) == values.get("sha256")
        return False

    def _is_the_one(self, job: Job) -> bool:
        """Whether a file says that it is the clip of the job, and can be played."""
        metadata = read_recipe(job.place.path)
        if metadata is None or metadata.get(_KEY) != job.key:
            return False
        with contextlib.suppress(UsageError):
            return self._plays(job)
        return False

    def _plays(self, job: Job) -> bool:
        wanted = self._planner.check(job).output
        facts = facts_of(job.place)
        return (facts["width"], facts["height"], facts["num_frames"]) == (
            wanted.width,
            wanted.height,
            wanted.num_frames,
        )

    def take(self, findings: Iterable[Finding]) -> list[Finding]:
        """Gives clips that are called otherwise now their names; those whose file is not to be had are to be made.

        All are put aside under one more name first: where names go round in a circle, none is lost, and a kill
        half-way leaves them for the next run to find.
        """
        given = [(each, self._put_aside(each)) for each in findings]
        return [each if kept is None else self._named(each, kept) for each, kept in given]

    def _put_aside(self, finding: Finding) -> Path | None:
        """The further name of a clip that is to be renamed; its own, where it can have no other."""
        if finding.state != RENAMED or finding.source is None:
            return None
        kept = self._folder / HIDDEN / _aside(finding.job)
        if finding.job.place.is_folder or kept == finding.source:
            return finding.source
        with contextlib.suppress(OSError):
            kept.unlink(missing_ok=True)
            os.link(finding.source, kept)
            return kept
        return finding.source

    def _named(self, finding: Finding, kept: Path) -> Finding:
        place, source, entry = finding.job.place.path, finding.source or kept, finding.entry
        try:
            if entry is None or not self._is(entry, kept):
                raise OSError("it has changed meanwhile")
            place.parent.mkdir(parents=True, exist_ok=True)
            os.replace(kept, place)
            if source not in self._wanted and os.path.lexists(source) and os.path.samefile(source, place):
                source.unlink()
        except OSError:
            return replace(finding, state=CHANGED, entry=None, source=None)
        return finding

    def _has_kind(self, source: Path, place: Destination) -> bool:
        """Whether a clip may become the one at a place by its name alone."""
        if place.is_folder:
            return source.is_dir() and source not in self._wanted and not os.path.lexists(place.path)
        return source.suffix.lower() == place.path.suffix.lower() and source.is_file()


def facts_of(place: Destination) -> dict[str, Any]:
    """What a file that stands at a place is, as the `--json` line calls it.

    Raises:
        UsageError: it cannot be played.
    """
    if place.is_still:
        picture = picture_facts(place.path)
        return {"width": picture.width, "height": picture.height, "num_frames": 1}
    facts: ClipFacts = probe(place.path)
    known = {"fps": float(facts.fps), "duration": float(facts.duration), "bitrate": facts.bitrate, "codec": facts.codec}
    return {"width": facts.width, "height": facts.height, "num_frames": facts.num_frames, **known}


def _aside(job: Job) -> str:
    return f"{job.key}{job.place.path.suffix.lower()}"


def _is_empty(place: Destination) -> bool:
    return place.is_folder and place.path.is_dir() and not any(place.path.iterdir())
