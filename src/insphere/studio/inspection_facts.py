"""What is known of a detector of photos, in words that need no statistics."""

from __future__ import annotations

from html import escape
from typing import Any

from insphere.scoring.reviews import ReviewCounts, Share
from insphere.studio.formatting import about
from insphere.workflows.group_table import UNKNOWN

KINDS = {
    "cut-paste": "A piece in the wrong place",
    "scar": "A scratch",
    "foreign-texture": "A strange surface",
    "spots": "Spots",
    "crack": "A crack",
    "fold": "A fold",
    "blur-patch": "A blurred place",
    "shading": "A shadow",
    "roughness": "A rough place",
}
STRENGTHS = {"faint": "faint", "clear": "clear", "strong": "strong"}


def one_in(rate: float) -> str:
    """Write a rate as one in so many.

    Examples
    --------
    >>> one_in(0.05), one_in(0.02)
    ('1 in 20', '1 in 50')
    """
    return f"1 in {round(1 / rate):,}"


def of_hundred(value: float) -> str:
    """Write a share as so many of 100.

    Examples
    --------
    >>> of_hundred(0.003), of_hundred(0.146), of_hundred(0)
    ('0.3', '15', '0')
    """
    shown = 100 * value
    return f"{shown:.0f}" if shown >= 1 or shown == 0 else f"{shown:.1f}"


def promise(facts: dict[str, Any]) -> tuple[str, str]:
    """Return the promise about false alarms, and how sure it is."""
    given, n = facts["promise"], facts["n_calibration"]
    head = f"About {one_in(given['rate'])} good photos raises a false alarm"
    if given["kind"] == "promise":
        head = f"At most {one_in(given['rate'])} good photos raises a false alarm"
    low, high = of_hundred(given["low"]), of_hundred(given["high"])
    if given["kind"] == "promise":
        how = f"This rests on {n:,} of your photos that were kept out of the training."
    else:
        how = (
            f"This is an estimate from the {n:,} photos themselves. More photos make it a promise."
        )
    sure = (
        f"{how} With so {'few' if n < 100 else 'many'}, the true number lies between {low} and "
        f"{high} of 100 good photos, nine times out of ten."
    )
    return head, sure


def damage(facts: dict[str, Any]) -> tuple[str, str] | None:
    """Return how far clear made-up damage is found, and how sure that is."""
    found = facts["damage"]
    if not found["cells"]:
        return None
    count, total, low, high = found["by_strength"]["clear"]
    strong = found["by_strength"]["strong"]
    head = f"{count} of {total} clear made-up defects are found, {strong[0]} of {strong[1]} strong"
    which = (
        "photos that were kept out of the training"
        if found["held_out"]
        else "photos that were trained on, so the number is a cautious one"
    )
    sure = (
        f"{found['n_photos']} {which} were damaged in nine ways. With other photos, between "
        f"{of_hundred(low)} and {of_hundred(high)} of 100 clear ones would be found. Your real "
        "defects may be easier or harder: nobody has seen one here."
    )
    return head, sure


def agreement(facts: dict[str, Any]) -> tuple[str, str]:
    """Return how far the order can be relied on, and how sure that is."""
    found = facts["agreement"]
    if found is None:
        return (
            "How stable the order is was not measured",
            "It takes two more trainings, which would have been long with this method.",
        )
    head = (
        f"In {of_hundred(found['share'])} of 100 pairs of photos, two separate trainings agree "
        "which is worse"
    )
    sure = (
        f"Each was trained on half of the other photos, and both looked at {found['n_photos']} "
        f"photos, good and damaged. With other photos: {of_hundred(found['low'])} to "
        f"{of_hundred(found['high'])} of 100. A toss of a coin would reach 50."
    )
    return head, sure


def defects(facts: dict[str, Any], confirmed: int = 0) -> tuple[str, str] | None:
    """Return what was done with photos of defects, and what they say; None without any.

    Parameters
    ----------
    facts : dict
        Of the inspection.
    confirmed : int
        How many of the photos a person had confirmed as right alarms of a detector before.
    """
    found = facts.get("defects")
    if not found or not found["n"]:
        return None
    n, alarms = found["n"], found["alarms"]
    photos = "photo" if n == 1 else "photos"
    lost = f" {found['n_skipped']} could not be read." if found["n_skipped"] else ""
    if found["learned"]:
        head = (
            f"It has learned from {n:,} {photos} of defects, and {alarms:,} of them raise an alarm"
        )
        sure = (
            "They were trained on, so this does not say how many new ones are found. Defects of "
            "other kinds can be harder to find than without them: look at the made-up ones, which "
            "it was never shown. The number of false alarms rests on the good photos alone."
        )
        return head, sure + lost
    head = f"{alarms:,} of your {n:,} {photos} of defects raise an alarm"
    sure = (
        "None of them was trained on. With other defects of the same kinds, between "
        f"{of_hundred(found['low'])} and {of_hundred(found['high'])} of 100 would be found, nine "
        "times out of ten."
    )
    if confirmed:
        sure += (
            f" {confirmed:,} of them were found by a person among scored photos, mostly as alarms, "
            "so the number is too good."
        )
    return head, sure + lost


def folders(facts: dict[str, Any]) -> tuple[str, str] | None:
    """Return what several folders of good photos are; None if there was one."""
    found = facts.get("folders")
    if not found:
        return None
    named = ", ".join(f"{name} ({count:,})" for name, count in found.items())
    if facts["by_class"]:
        return (
            f"It knows {len(found)} kinds of parts: {named}",
            "Each has a sphere of its own. A new photo is strange if it is far from all of them, "
            "in units of their sizes, and is called by the nearest one.",
        )
    return f"The photos come from {len(found)} folders: {named}", "They are one kind of part."


def where_photos_lie(facts: dict[str, Any]) -> str:
    """Say as HTML where the command line looks for the photos."""
    good = "With the good photos in <code>photos/good</code>"
    if found := facts.get("folders"):
        named = ", ".join(f"<code>{escape(name)}</code>" for name in found)
        good += f", in the folders {named}"
    if (facts.get("defects") or {}).get("learned"):
        good += ", and those of defects in <code>photos/defects</code>"
    files = ["<code>fit.yaml</code>"]
    if facts.get("group_column"):
        files.append("the table <code>groups.csv</code>")
    if isinstance(region := facts.get("region"), str):
        files.append(f"the picture <code>{escape(region)}</code>")
    are = "is" if len(files) == 1 else "are"
    return f"{' and '.join(files)} {are} in the zip. {good}:"


def group_table(facts: dict[str, Any]) -> str:
    """Return the false alarms of each group as an HTML table, with sentences below it."""
    found, column = facts["groups"], facts.get("group_column")
    sentences = list(found["sentences"])
    if column and any(one["name"] == UNKNOWN for one in found["rates"]):
        sentences.insert(0, f"Photos that the table does not name are the group {UNKNOWN}.")
    rows = "".join(
        f'<tr><th scope="row">{escape(one["name"])}</th>'
        f'<td class="r">{one["outside"]:,} of {one["n"]:,}</td>'
        f'<td class="r">{of_hundred(one["outside"] / one["n"])}</td>'
        f'<td class="r">{of_hundred(one["low"])} to {of_hundred(one["high"])}</td></tr>'
        for one in found["rates"]
    )
    said = "".join(f"<li>{escape(one)}</li>" for one in sentences)
    return (
        '<div class="scroll" tabindex="0" role="region" aria-label="False alarms of each group">'
        '<table class="table" data-test="groups"><thead><tr>'
        f'<th scope="col">{escape(column or "group")}</th>'
        '<th class="r" scope="col">false alarms</th><th class="r" scope="col">of 100</th>'
        '<th class="r" scope="col">true number, of 100</th></tr></thead>'
        f'<tbody>{rows}</tbody></table></div><ul class="said">{said}</ul>'
    )


def judged(facts: dict[str, Any]) -> str:
    """Say which part of each photo is judged; nothing if it is all of it.

    Examples
    --------
    >>> judged({"region": [0.1, 0, 0.9, 1]})
    'Judged is what lies between 10 and 90 % of the height, and 0 and 100 % of the width. '
    >>> judged({"region": "region.png", "judged": 0.251})
    'Judged is what is white in the picture that was given: 25 % of each photo. '
    """
    region = facts.get("region")
    if region is None:
        return ""
    if isinstance(region, str):
        share = judged_share(facts["judged"])
        return f"Judged is what is white in the picture that was given: {share} of each photo. "
    top, left, bottom, right = (f"{100 * share:.0f}" for share in region)
    return (
        f"Judged is what lies between {top} and {bottom} % of the height, and {left} and {right} % "
        "of the width. "
    )


def judged_share(share: float) -> str:
    """Say a share of a photo in per cent; one that is not zero is not called so.

    Examples
    --------
    >>> judged_share(0.251), judged_share(0.002)
    ('25 %', 'less than 1 %')
    """
    return "less than 1 %" if share < 0.01 else f"{100 * share:.0f} %"


def trained(facts: dict[str, Any]) -> str:
    """Say what was trained on, and how photos are read."""
    height, width = facts["size"]
    kept = facts["n_photos"] - facts["n_train"]
    rest = f", {kept:,} kept out to set the alarm" if kept else ""
    how = {
        "own": "each at its own scale",
        "letterbox": "each scaled to fit",
        "stretch": "each stretched to it",
    }[facts["fit"]]
    lost = f" {facts['n_skipped']} could not be read." if facts["n_skipped"] else ""
    each = facts["score_seconds"]
    took = about(each) if each > 1 else "less than a second"
    return (
        f"{facts['title']}, trained on {facts['n_train']:,} photos{rest}. Photos are read on a "
        f"canvas of {width} × {height} pixels, {how}; new ones in the same way.{lost} "
        f"{judged(facts)}A new photo takes {took}."
    )


def changed(settings: dict[str, Any]) -> str:
    """Say how the photos differ from those of the detector before.

    Examples
    --------
    >>> changed({"added": 3}), changed({"taken_out": ["a.png"]})
    ('with 3 photos that a person called good.', 'without 1 photo that a person took out: a.png.')
    """
    if files := settings.get("taken_out"):
        photos = "photo" if len(files) == 1 else "photos"
        return f"without {len(files):,} {photos} that a person took out: {', '.join(files)}."
    return f"with {settings.get('added', 0):,} photos that a person called good."


def damage_table(facts: dict[str, Any], pictures: str) -> str:
    """Return the table of made-up damage as HTML: a picture, its map, and how often it was found.

    Parameters
    ----------
    facts : dict
        Of the inspection.
    pictures : str
        Address of the folder of pictures.
    """
    cells = facts["damage"]["cells"]
    maps = facts.get("scale") is not None
    head = "".join(f'<th class="r" scope="col">{name}</th>' for name in STRENGTHS.values())
    rows = []
    for kind, found in cells.items():
        title = KINDS.get(kind, kind)
        shown = ""
        if kind in facts.get("kinds", ()):
            shown = _example(f"{pictures}/{kind}.jpg", title)
            if maps:
                shown += _example(f"{pictures}/{kind}-map.jpg", f"{title}: what is marked on it")
        numbers = "".join(_cell(found.get(name)) for name in STRENGTHS)
        rows.append(
            f'<tr><th scope="row">{escape(title)}</th><td class="shots">{shown}</td>{numbers}</tr>'
        )
    return (
        '<div class="scroll" tabindex="0" role="region" aria-label="Made-up defects">'
        '<table class="table damage" data-test="damage"><thead><tr><th scope="col">made up</th>'
        f'<th scope="col">strong example, and what is marked</th>{head}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div>"
    )


def _example(address: str, alt: str) -> str:
    """Return a small picture that a click enlarges."""
    return (
        f'<a href="{address}" target="_blank" rel="noopener">'
        f'<img src="{address}" alt="{escape(alt)}" loading="lazy"></a>'
    )


def _cell(pair: list[int] | None) -> str:
    if not pair:
        return '<td class="r">–</td>'
    count, total = pair
    share = 100 * count / total
    meter = f'<span class="meter" style="--share:{share:.0f}%"></span>'
    return f'<td class="r">{meter}{count} of {total}</td>'


def learned(counts: ReviewCounts, rate: float) -> list[tuple[str, str]]:
    """Return what reviews say: false alarms against the promise, and right alarms."""
    lines = []
    if counts.false + counts.right + counts.confirmed + counts.missed:
        false = counts.false_alarms()
        lines.append(
            (
                f"{false.count} of {false.total:,} good photos raised a false alarm: "
                f"{of_hundred(false.value or 0)} of 100",
                f"Promised were at most {of_hundred(rate)} of 100. {_compared(false, rate)} "
                f"{_open(counts)}".strip(),
            )
        )
    right = counts.right_alarms()
    if right.total:
        lines.append(
            (
                f"{right.count} of {right.total} reviewed alarms were right",
                f"With more reviews, between {of_hundred(right.low)} and {of_hundred(right.high)} "
                "of 100 alarms will turn out right, nine times out of ten.",
            )
        )
    if counts.missed:
        lines.append((f"{counts.missed} defects were found by a person without an alarm", ""))
    return lines


def _compared(share: Share, rate: float) -> str:
    low, high = of_hundred(share.low), of_hundred(share.high)
    if share.low > rate:
        return f"The true number lies between {low} and {high}: more than promised. Train again."
    if share.high <= rate:
        return f"The true number lies between {low} and {high}: the promise is kept."
    return f"The true number lies between {low} and {high}, so the promise may be kept."


def _open(counts: ReviewCounts) -> str:
    if not counts.open:
        return ""
    return f"{counts.open:,} alarms are not reviewed yet; the upper number counts them as false."
