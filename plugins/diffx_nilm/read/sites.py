"""Which meters of a NILMTK building measure all of it, by its NILM Metadata (Kelly and Knottenbelt 2014)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from diffx.errors import DataError

from .columns import terms
from .options import Options

POWERS = ("active", "apparent")
Kinds = Mapping[int, Sequence[str]]  # meter -> which powers it has


def site_meters(facts: Mapping[str, Any], kinds: Kinds, where: str, options: Options) -> tuple[list[int], str]:
    """The meters that are added to the mains, and the power that they have in common, active if that can be.

    Site meters that are ``disabled`` do not count. Of those behind one another (``submeter_of``) the first counts, or
    what lies behind it where only that has the power that is wanted. Several beside one another are phases.

    Args:
        facts: metadata of the building.
        kinds: meters in the file, and the kinds of power that each has.

    Raises:
        DataError: no meter is known to be of the whole household, or one of it is missing, or lacks the power.
    """
    wanted = [options.power] if options.power else list(POWERS)
    if options.mains is not None:
        return _asked(options, kinds, wanted, where)
    about = _about(facts)
    sites = [n for n, own in about.items() if own.get("site_meter") and not own.get("disabled")]
    if not about and len(kinds) == 1 and not facts.get("appliances"):
        sites = list(kinds)
    if not sites:
        every = any(own.get("site_meter") for own in about.values())
        said = "every site meter is disabled" if every else "no meter is known to be a site meter"
        raise DataError(f"{where}: {said}; {_choose(facts, kinds, options)}")
    above = {n: _above(about, sites, n) for n in sites}
    tops = [n for n in sites if above[n] is None]
    if not tops:
        raise DataError(f"{where}: each site meter lies behind another one; {_choose(facts, kinds, options)}")
    for power in wanted:
        able = {n for n in sites if power in kinds.get(n, ())}
        chosen = [_at(top, able, above) for top in tops]
        if all(chosen):
            return [number for some in chosen for number in some], power
    present = {n for n in sites if n in kinds}
    missing = [top for top in tops if not _at(top, present, above)]
    if missing:
        rest = "+".join(str(top) for top in tops if top not in missing)
        what = f"{options.spelt('mains', rest)} takes the rest" if rest else _choose(facts, kinds, options)
        raise DataError(f"{where}: its site meter {missing[0]} is not in the file; {what}")
    which = " or ".join(wanted)
    lacking = next((top for top in tops if not set(wanted) & set(kinds.get(top, ()))), None)
    said = "the site meters have no power in common" if lacking is None else f"meter{lacking} has no {which} power"
    raise DataError(f"{where}: {said}{_among(tops, kinds)}")


def disabled(facts: Mapping[str, Any], number: int) -> bool:
    return bool(_about(facts).get(number, {}).get("disabled"))


def _asked(options: Options, kinds: Kinds, wanted: Sequence[str], where: str) -> tuple[list[int], str]:
    """The meters that ``mains`` names."""
    found = terms(str(options.mains).replace("meter", ""), [str(number) for number in kinds])
    if found is None or any(factor < 0 for factor, _ in found):
        raise DataError(
            f"{where}: {options.spelt('mains')} takes the number of a meter or a sum (1+2) of "
            f"{', '.join(map(str, sorted(kinds)))}, not {options.mains!r}"
        )
    numbers = [int(name) for _, name in found]
    for power in wanted:
        if all(power in kinds[number] for number in numbers):
            return numbers, power
    lacking = next((n for n in numbers if not set(wanted) & set(kinds[n])), numbers[0])
    raise DataError(f"{where}: meter{lacking} has no {' or '.join(wanted)} power{_among(numbers, kinds)}")


def _among(numbers: Sequence[int], kinds: Kinds) -> str:
    return "; there are " + "; ".join(f"meter{n}: {', '.join(kinds.get(n, ())) or 'none'}" for n in numbers)


def _at(top: int, able: set[int], above: Mapping[int, int | None]) -> list[int]:
    """A meter, or those behind it that stand for it; [] where neither can."""
    if top in able:
        return [top]
    own = [_at(number, able, above) for number in above if above[number] == top]
    return [number for some in own for number in some] if own and all(own) else []


def _about(facts: Mapping[str, Any]) -> dict[int, Mapping[str, Any]]:
    meters = facts.get("elec_meters")
    found = meters.items() if isinstance(meters, dict) else ()
    return {int(n): own if isinstance(own, dict) else {} for n, own in found if str(n).isdigit()}


def _above(about: Mapping[int, Mapping[str, Any]], sites: Sequence[int], number: int) -> int | None:
    """The next site meter on the way to the grid."""
    seen = {number}
    while True:
        above = str(about.get(number, {}).get("submeter_of") or 0)
        if not above.isdigit() or int(above) in seen or int(above) not in about:
            return None
        number = int(above)
        seen.add(number)
        if number in sites:
            return number


def _choose(facts: Mapping[str, Any], kinds: Kinds, options: Options) -> str:
    """What to type, and what the meters are."""
    names: dict[int, str] = {}
    for appliance in facts.get("appliances") or []:
        for number in (appliance or {}).get("meters") or []:
            names.setdefault(int(number), str((appliance or {}).get("type") or "?"))
    some = [f"{n} ({names[n]})" if n in names else str(n) for n in sorted(kinds)[:12]]
    return f"{options.spelt('mains')} takes the number of one, or a sum (1+2), of {', '.join(some) or 'none'}"
