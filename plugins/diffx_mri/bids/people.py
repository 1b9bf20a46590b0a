"""What participants.tsv and sessions.tsv know of the person in each scan: age, sex, split."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from diffx.io.home import expanded

from .tables import Said, Table, is_missing, read_json, read_table
from .values import read_age, read_sex, split_is_known, unit_of_age

Session = tuple[str, str | None]  # subject and session, as "sub-01", "ses-1"
_OF_SESSION = ("session_id", "session", "ses")
_OF_VISIT = ("visit", "visit_id", "timepoint", "time_point", "wave")


@dataclass(frozen=True)
class _Row:
    """A line of a table: whose, of which session ("": not said), and what it knows (None: nothing)."""

    subject: str
    session: str
    age: float | None
    sex: str | None
    split: str | None


def tables_of(root: str | Path) -> list[Path]:
    """The files that `known` reads of a folder, those that are there."""
    root = expanded(root)
    named = [root / name for name in ("participants.tsv", "participants.json", "sessions.json")]
    return [*(path for path in named if path.exists()), *sorted(root.glob("sub-*/sub-*_sessions.tsv"))]


def known(root: str | Path, sessions: Iterable[Session]) -> tuple[dict[Session, dict[str, Any]], list[str]]:
    """Of each session {"age": years, "sex": "F" or "M", "split": text}, None where unknown; and a line for each entry
    that could not be used, with the file and the reason.

    Ids are those of the folders, with or without "sub-"; failing that, the only one that differs from the folder's in
    leading zeros, case or separators (1, CC_001) is taken, and said. Rows that know of a session count for it alone.
    """
    root, sessions, said = expanded(root), list(sessions), Said()
    path = root / "participants.tsv"
    table = read_table(path, said)
    rows = _read(table, path.with_suffix(".json"), {s[1] for s in sessions if s[1]}, said) if table else []
    of = _by_folder(rows, sorted({s[0] for s in sessions}), path, said)
    found = {session: _of_session(session, of[session[0]], path, said) for session in sessions}
    for subject in sorted({s for s, session in sessions if session}):
        _visits(root, subject, found, said)
    _same_age_twice(found, of, path, said)
    return found, said.lines()


def _read(table: Table, sidecar: Path, folders: set[str], said: Said) -> list[_Row]:
    path, columns = table.path, set(table.columns)
    if "participant_id" not in columns:
        said.add(f"{path}: no column participant_id (columns: {', '.join(table.columns)}); age and sex are unknown")
        return []
    session = _session_column(table, folders)
    about = read_json(sidecar, said)

    def told(column: str) -> Mapping[str, Any]:
        entry = about.get(table.headings.get(column, column), about.get(column))
        return entry if isinstance(entry, Mapping) else {"Description": entry} if isinstance(entry, str) else {}

    unit = unit_of_age(told("age"), sidecar, said) if "age" in columns else None
    others = [heading for column, heading in table.headings.items() if re.match(r"age(_|\W|$)", column)]
    if "age" not in columns and others:
        said.add(f"{path}: no column age; {', '.join(others)} is not read: call it age, in years or with its Units")
    levels = {column: told(column).get("Levels") or {} for column in ("sex", "gender")}
    return [
        _Row(
            *_whose(row, session),
            _age(row, unit, path, said),
            _sex(row, levels, path, said),
            _split(row, path, said),
        )
        for row in table.rows
        if _has_id(row, path, said)
    ]


def _whose(row: Mapping[str, str], column: str) -> tuple[str, str]:
    """Subject and session of a row; also of one whose id is that of a session, sub-01_ses-1."""
    subject, _, session = re.sub(r"^sub-", "", row["participant_id"]).partition("_ses-")
    told = row.get(column, "")
    return subject, session if is_missing(told) else told


def _has_id(row: Mapping[str, str], path: Path, said: Said) -> bool:
    if is_missing(row["participant_id"]):
        said.add(f"{path}: line {row['']} has no participant_id; not read", "no id")
        return False
    return True


def _session_column(table: Table, folders: set[str]) -> str:
    """The column that tells sessions apart; one called visit, or the like, where it names a session's folder."""
    column = next((c for c in _OF_SESSION if c in table.columns), None)
    loosely = {_loose(f) for f in folders}
    visits = (c for c in _OF_VISIT if c in table.columns and any(_loose(r[c]) in loosely for r in table.rows))
    return column or next(visits, "no column")


def _age(row: Mapping[str, str], unit: str | None, path: Path, said: Said) -> float | None:
    text = row.get("age", "")
    if unit is None or is_missing(text):
        return None
    years = read_age(text, unit)
    if years is None:
        said.add(f"{path}: {row['participant_id']}: age {text!r} is not a number of years; taken as unknown", "age")
    return years


def _sex(row: Mapping[str, str], levels: Mapping[str, Any], path: Path, said: Said) -> str | None:
    column = "gender" if is_missing(row.get("sex", "")) else "sex"
    text, of = row.get(column, ""), levels[column]
    meant = read_sex(text, of if isinstance(of, Mapping) else {})
    if meant is None and not is_missing(text):
        hint = "; Levels in participants.json can say what it means" if text.isdigit() else ""
        said.add(f"{path}: {row['participant_id']}: sex {text!r} is not M or F; taken as unknown{hint}", "sex")
    return meant


def _split(row: Mapping[str, str], path: Path, said: Said) -> str | None:
    text = row.get("split", "")
    if is_missing(text):
        return None
    if not split_is_known(text):
        said.add(f"{path}: split {text!r} is not called train, so it is held out")
    return text


def _by_folder(rows: list[_Row], subjects: list[str], path: Path, said: Said) -> dict[str, list[_Row]]:
    """The rows of each subject's folder."""
    exact, loosely = defaultdict(list), defaultdict(list)
    for row in rows:
        exact[row.subject].append(row)
        loosely[_loose(row.subject)].append(row)
    folders = Counter(_loose(s) for s in subjects)
    found: dict[str, list[_Row]] = {}
    for subject in subjects:
        found[subject] = exact.get(subject.removeprefix("sub-"), [])
        alike = loosely.get(_loose(subject), [])
        if not found[subject] and folders[_loose(subject)] == 1 and len({r.subject for r in alike}) == 1:
            found[subject] = alike
            said.add(f"{path}: {alike[0].subject} is taken for {subject}", "written otherwise")
    without = [s for s in subjects if not found[s]]
    if rows and without:
        ids = ", ".join(dict.fromkeys(r.subject for r in rows[:3]))
        why = f" (it has {ids}, ...)" if len(without) == len(subjects) else ""
        some = ", ".join(without[:3]) + (", ..." if len(without) > 3 else "")
        said.add(
            f"{path}: no row for {len(without)} of {len(subjects)} subjects ({some}); age and sex are unknown{why}"
        )
    return found


def _of_session(session: Session, rows: list[_Row], path: Path, said: Said) -> dict[str, Any]:
    name = "_".join(filter(None, session))
    own = [r for r in rows if r.session and session[1] and _loose(r.session) == _loose(session[1])]
    general = [r for r in rows if not r.session]
    if not own and not general and rows:
        if session[1] is None and len(rows) == 1:
            general = rows
        else:
            which = f"no row for {session[1]}" if session[1] else f"{len(rows)} rows, each for a session,"
            said.add(f"{path}: {which} of {session[0]}; the age is unknown", "no row of the session")
    out: dict[str, Any] = {}
    for field in ("age", "sex", "split"):
        of_own = [v for r in own if (v := getattr(r, field)) is not None]
        values = set(of_own or [v for r in general if (v := getattr(r, field)) is not None])
        if field != "age" and not values:  # what is said of one visit holds for the person
            values = {v for r in rows if (v := getattr(r, field)) is not None}
        if len(values) > 1:
            some = " and ".join(f"{v:g}" if isinstance(v, float) else str(v) for v in sorted(values))
            said.add(f"{path}: {name} has {field} {some} in different rows; taken as unknown", f"several of {field}")
        out[field] = values.pop() if len(values) == 1 else None
    return out


def _visits(root: Path, subject: str, found: dict[Session, dict[str, Any]], said: Said) -> None:
    """What `sub-<label>_sessions.tsv` says of the visits goes before what participants.tsv says of the person."""
    path = root / subject / f"{subject}_sessions.tsv"
    if not path.is_file() or (table := read_table(path, said)) is None or "session_id" not in table.columns:
        return
    about = {**read_json(root / "sessions.json", said), **read_json(path.with_suffix(".json"), said)}.get("age", {})
    unit = unit_of_age(about if isinstance(about, Mapping) else {}, path, said) if "age" in table.columns else None
    for row in table.rows:
        row.setdefault("participant_id", f"{subject} {row['session_id']}")
        years = _age(row, unit, path, said)
        for session, facts in found.items():
            if session[0] == subject and session[1] and _loose(session[1]) == _loose(row["session_id"]):
                facts["age"] = facts["age"] if years is None else years


def _same_age_twice(
    found: Mapping[Session, Mapping[str, Any]], of: Mapping[str, list[_Row]], path: Path, said: Said
) -> None:
    ages = defaultdict(list)
    for (subject, session), facts in found.items():
        if session and facts["age"] is not None and not any(r.session for r in of[subject]):
            ages[subject].append(facts["age"])
    alike = [s for s, many in ages.items() if len(many) > 1 and len(set(many)) == 1]
    if alike:
        whose = alike[0] + (f" and of {len(alike) - 1} more" if len(alike) > 1 else "")
        said.add(f"{path}: one age for all sessions of {whose}; it is taken for each of them")


def _loose(label: str) -> str:
    """An id without what differs between tables and folders: prefix, case, separators, leading zeros."""
    plain = re.sub(r"^(sub|ses)-", "", label.strip().lower())
    plain = re.sub(r"\.0*$", "", plain)  # of a spreadsheet: 1.0
    plain = re.sub(r"[\W_]+", "", plain)
    return plain.lstrip("0") or "0" if plain.isdigit() else plain
