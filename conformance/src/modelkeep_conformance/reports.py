"""The verdict in the forms that people and programs read."""

from __future__ import annotations

import html
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final
from xml.etree import ElementTree as ET

from modelkeep_conformance import hooks, verdict

_SIGNS: Final[Mapping[str, str]] = {
    verdict.PASS: "+",
    verdict.FAIL: "F",
    verdict.GAP: "g",
    verdict.NOT_APPLICABLE: ".",
    verdict.COULD_NOT_RUN: "?",
}
_COLOURS: Final[Mapping[str, str]] = {
    verdict.PASS: "#c8e6c9",
    verdict.FAIL: "#ef9a9a",
    verdict.GAP: "#ffe0b2",
    verdict.NOT_APPLICABLE: "#eeeeee",
    verdict.COULD_NOT_RUN: "#fff59d",
}


def terminal(report: Mapping[str, Any]) -> Iterator[str]:
    """Show the clauses of each chapter, a sign each."""
    for name, mine in report["backends"].items():
        yield ""
        traits = ", ".join(mine["traits"]) or "no traits"
        yield f"{name}: {mine['verdict']} in {mine['seconds']:.0f} s of tests ({traits})"
        for chapter in report["contract"]:
            signs = " ".join(f"{each['id']}{_SIGNS[mine['clauses'][each['id']]]}" for each in chapter["clauses"])
            yield f"  {chapter['title']:12} {signs}"
        if any(mine["clauses"][each["id"]] == verdict.FAIL for each in report["contract"][0]["clauses"]):
            yield "  the harness is faulty (H): what else failed may mean nothing until it is mended"
        for gap in mine["gaps"]:
            yield f"  gap {gap['clause']}: {gap['reason']} ({gap['error']})"
            if mine["clauses"][gap["clause"]] == verdict.FAIL:
                yield f"  no test shows the gap {gap['clause']}, or one fails otherwise: correct it in the harness"
        for test in mine["tests"]:
            if test["result"] == verdict.COULD_NOT_RUN and test["detail"] != verdict.DESELECTED:
                yield f"  could not run {' '.join(test['clauses'])}: {test['detail']}"
        if deselected := sum(test["detail"] == verdict.DESELECTED for test in mine["tests"]):
            yield f"  {deselected} tests were deselected"
    yield "  " + ", ".join(f"{sign} {meaning}" for meaning, sign in _SIGNS.items())


def write(report: dict[str, Any], folder: Path) -> list[Path]:
    """Write report.json, junit.xml, report.html, badge.json, and what plugins add."""
    folder.mkdir(parents=True, exist_ok=True)
    files = {
        "report.json": json.dumps(report, indent=2),
        "junit.xml": _junit(report),
        "report.html": _page(report),
        "badge.json": json.dumps(_badge(report)),
    }
    paths = []
    for name, text in files.items():
        path = folder / name
        path.write_text(text, "utf-8")
        paths.append(path)
    added = hooks.manager().hook.conformance_report(report=report, folder=folder)
    return [*paths, *filter(None, added)]


def _badge(report: Mapping[str, Any]) -> dict[str, object]:
    """See https://shields.io/badges/endpoint-badge for the format."""
    verdicts = {mine["verdict"] for mine in report["backends"].values()}
    worst = next((each for each in (verdict.FAILED, verdict.INCOMPLETE) if each in verdicts), verdict.CONFORMS)
    colour = {verdict.CONFORMS: "brightgreen", verdict.INCOMPLETE: "yellow", verdict.FAILED: "red"}[worst]
    return {"schemaVersion": 1, "label": "modelkeep", "message": worst.lower(), "color": colour}


def _junit(report: Mapping[str, Any]) -> str:
    root = ET.Element("testsuites")
    for name, mine in report["backends"].items():
        tests = mine["tests"]
        suite = ET.SubElement(
            root,
            "testsuite",
            name=name,
            tests=str(len(tests)),
            failures=str(sum(test["result"] == verdict.FAIL for test in tests)),
            skipped=str(sum(test["result"] in (verdict.NOT_APPLICABLE, verdict.COULD_NOT_RUN) for test in tests)),
            time=str(mine["seconds"]),
        )
        for test in tests:
            case = ET.SubElement(
                suite, "testcase", classname=" ".join(test["clauses"]), name=test["test"], time=f"{test['seconds']:.3f}"
            )
            if test["result"] == verdict.FAIL:
                ET.SubElement(case, "failure", message=_last(test["detail"])).text = _clean(test["detail"])
            elif test["result"] != verdict.PASS:
                ET.SubElement(case, "skipped", message=f"{test['result']}: {_last(test['detail'])}")
    return ET.tostring(root, encoding="unicode", xml_declaration=True)


def _clean(text: str) -> str:
    """Leave out what XML can't hold."""
    return "".join(char for char in text if char.isprintable() or char in "\n\t")


def _last(text: str) -> str:
    return _clean(text.strip().rpartition("\n")[2])


def _page(report: Mapping[str, Any]) -> str:
    found = report["backends"]
    head = "".join(f"<th>{html.escape(name)}</th>" for name in found)
    rows = []
    for chapter in report["contract"]:
        title = html.escape(chapter["title"])
        rows.append(f"<tr><th colspan='{2 + len(found)}' class='chapter'>{title}</th></tr>")
        for clause in chapter["clauses"]:
            cells = "".join(_cell(mine, clause["id"]) for mine in found.values())
            text = html.escape(f"{clause['text']} (since {clause['since']})")
            rows.append(f"<tr><td>{html.escape(clause['id'])}</td><td>{text}</td>{cells}</tr>")
    facts = "".join(
        f"<li><b>{html.escape(name)}</b>: {mine['verdict']}, {mine['seconds']:.0f} s, "
        f"traits: {', '.join(mine['traits']) or 'none'}{_gaps(mine['gaps'])}</li>"
        for name, mine in found.items()
    )
    about = ", ".join(
        f"{key} {html.escape(str(report[key]))}"
        for key in ("suite", "modelkeep", "python", "platform", "profile", "seed")
    )
    legend = " ".join(
        f"<span style='background:{colour}'>&nbsp;{name}&nbsp;</span>" for name, colour in _COLOURS.items()
    )
    return (
        "<!doctype html><html lang='en'><meta charset='utf-8'><title>modelkeep conformance</title>"
        "<style>body{font:14px sans-serif;margin:2em}table{border-collapse:collapse}td,th{border:1px solid #ccc;"
        "padding:3px 6px;text-align:left;vertical-align:top}.chapter{background:#f5f5f5}pre{white-space:pre-wrap;"
        "max-width:60em}</style><h1>modelkeep conformance</h1>"
        f"<p>{about}</p><p>Reproduce: <code>{html.escape(report['command'])}</code></p><ul>{facts}</ul><p>{legend}</p>"
        f"<table><tr><th>clause</th><th>what is owed</th>{head}</tr>{''.join(rows)}</table></html>"
    )


def _gaps(gaps: Iterable[Mapping[str, str]]) -> str:
    return "".join(f"; gap {gap['clause']}: {html.escape(gap['reason'])}" for gap in gaps)


def _cell(mine: Mapping[str, Any], clause: str) -> str:
    result = mine["clauses"][clause]
    tests = "".join(
        f"<li>{html.escape(test['test'])}: {test['result']}"
        + (f"<pre>{html.escape(test['detail'][-2000:])}</pre>" if test["detail"] else "")
        + "</li>"
        for test in mine["tests"]
        if clause in test["clauses"]
    )
    body = f"<details><summary>{result}</summary><ul>{tests}</ul></details>" if tests else f"{result}: no test ran"
    return f"<td style='background:{_COLOURS[result]}'>{body}</td>"
