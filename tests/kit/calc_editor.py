"""Run by a Python that has LibreOffice's UNO: edits cells of a workbook as a person would.

Standard input: {"source", "target", "connection", "edits": [[sheet, row, heading, kind, value]]}.
"""

# The interpreter is the system's, with nothing of orgscan in it.
from __future__ import annotations

import json
import sys
import time
from typing import Any

import uno
from com.sun.star.beans import PropertyValue
from com.sun.star.connection import NoConnectException


def desktop(connection: str) -> Any:
    local = uno.getComponentContext()
    factory = local.ServiceManager
    resolver = factory.createInstanceWithContext("com.sun.star.bridge.UnoUrlResolver", local)
    for _attempt in range(200):
        try:
            context = resolver.resolve(f"uno:{connection};urp;StarOffice.ComponentContext")
        except NoConnectException:
            time.sleep(0.2)  # LibreOffice is starting and tells nobody when it is ready
        else:
            return context.ServiceManager.createInstanceWithContext(
                "com.sun.star.frame.Desktop", context
            )
    sys.exit("LibreOffice did not start")


def option(name: str, value: Any) -> Any:
    made = PropertyValue()
    made.Name, made.Value = name, value
    return made


def edit(sheet: Any, row: int, heading: str, kind: str, value: str) -> None:
    column = next(n for n in range(64) if sheet.getCellByPosition(n, 0).String == heading)
    cell = sheet.getCellByPosition(column, row - 1)
    if kind == "text":
        cell.String = value
    elif kind == "entered":
        cell.FormulaLocal = value
    else:
        cell.Value = float(value)


def main() -> None:
    task = json.load(sys.stdin)
    calc = desktop(task["connection"])
    hidden = (option("Hidden", value=True),)
    document = calc.loadComponentFromURL(task["source"], "_blank", 0, hidden)
    for sheet, *how in task["edits"]:
        edit(document.Sheets.getByName(sheet), *how)
    document.storeToURL(task["target"], (option("FilterName", "Calc MS Excel 2007 XML"),))
    document.dispose()
    calc.terminate()


main()
