"""A page for who lives there: what each appliance used and cost, in plain words."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from pathlib import Path

import pandas as pd

from diffx.io.files import write_text

from .appliances import Appliance

_HEAD = """<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{title}</title><style>
body{{font:17px/1.55 system-ui,sans-serif;color:#222;max-width:40rem;margin:2.5rem auto;padding:0 1rem}}
h1{{font-size:1.5rem}}h2{{font-size:1.1rem;margin:1.6rem 0 .2rem}}p{{margin:.3rem 0}}.less{{color:#666}}</style>
"""
_FEW = 0.05  # activations a day below which an appliance is said to be seldom used


def sentences(
    total: pd.DataFrame, appliances: Sequence[Appliance], days: float, price: float | None = None, currency: str = ""
) -> dict[str, str]:
    """A few sentences on each appliance, and under "rest" on everything else.

    Args:
        total: by appliance's key: kWh, kWh_low, kWh_high, mains_kWh, runs_a_day, of :func:`.report.totals`.
        appliances: in the order of the sentences.
        days: that the mains were known for.
        price: of a kWh; None: no costs.
        currency: as it is written before or, of more than one letter, behind an amount.
    """
    out, rest = {}, 0.0
    for appliance in appliances:
        own = total.loc[appliance.key]
        name, rate = appliance.key.replace("_", " "), float(own["runs_a_day"])
        said = f"In these {_days(days)} the {name} used about {_kwh(own['kWh'])}"
        low, high = float(own["kWh_low"]), float(own["kWh_high"])
        if price is not None:
            said += f", which cost {_money(own['kWh'] * price, currency)}"
            said += f" (most likely between {_money(low * price, currency)} and {_money(high * price, currency)})."
        else:
            said += f" (most likely between {_kwh(low)} and {_kwh(high)})."
        if appliance.cycling:
            said += " It runs by itself, day and night."
        elif rate < _FEW:
            said += " It was hardly used, or there is none."
        else:
            said += f" It was used {_often(rate)}"
            each = float(own["kWh"]) / max(rate * days, 1e-9)
            said += f"; each time took about {_kwh(each)}"
            said += f", or {_money(each * price, currency)}." if price is not None else "."
        out[appliance.key] = said
        rest += float(own["kWh"])
    mains = float(total["mains_kWh"].iloc[0]) if len(total) else 0.0
    left = max(mains - rest, 0.0)
    said = f"The whole household used {_kwh(mains)}"
    said += f", for {_money(mains * price, currency)}" if price is not None else ""
    out["rest"] = f"{said}. Everything else together took {_kwh(left)} of it" + (
        f", {_money(left * price, currency)}." if price is not None else "."
    )
    return out


def page(said: dict[str, str], title: str) -> str:
    """One HTML page of these sentences, without scripts or other files."""
    parts = [_HEAD.format(title=escape(title)), f"<h1>{escape(title)}</h1>", f"<p>{escape(said['rest'])}</p>"]
    for key, text in said.items():
        if key != "rest":
            parts.append(f"<h2>{escape(key.replace('_', ' ').capitalize())}</h2><p>{escape(text)}</p>")
    parts.append(
        '<p class="less">These are estimates from the household\'s meter alone; no appliance was measured. '
        "In nine of ten cases the true figure should lie between the two that are given. Not for billing.</p></html>"
    )
    return "\n".join(parts)


def write_page(path: Path, said: dict[str, str], title: str) -> None:
    """Write :func:`page`; the file appears whole or not at all."""
    write_text(path, page(said, title))


def _kwh(value: float) -> str:
    rounded = f"{value:.{2 if value < 1 else 1 if value < 10 else 0}f}"
    return f"{rounded.rstrip('0').rstrip('.') if '.' in rounded else rounded} kWh"


def _money(value: float, currency: str) -> str:
    amount = f"{value:.2f}"
    return f"{currency}{amount}" if len(currency) == 1 else f"{amount} {currency}".rstrip()


def _days(days: float) -> str:
    count = round(days)
    return f"{count} days" if count > 1 else "24 hours" if days > 0.9 else f"{24 * days:.0f} hours"


def _often(rate: float) -> str:
    if rate >= 0.9:
        return f"about {rate:.0f} times a day" if rate >= 1.5 else "about once a day"
    weekly = 7 * rate
    if weekly >= 1.5:
        return f"about {weekly:.0f} times a week"
    return "about once a week" if weekly >= 0.75 else "less than once a week"
