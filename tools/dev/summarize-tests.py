"""Adds up junit files: prints "N passed, N failed, N skipped" and fails when a test failed or a file is missing.

    summarize-tests.py --expect unit lit e2e -- FOLDER
"""

import argparse
import pathlib
import sys
import xml.etree.ElementTree as xml


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--expect", nargs="+", default=[], help="files that must be there")
    parser.add_argument("folder", type=pathlib.Path)
    options = parser.parse_args()
    passed = failed = skipped = 0
    for name in options.expect:
        try:
            cases = list(xml.parse(options.folder / f"{name}.xml").iter("testcase"))
        except (OSError, xml.ParseError) as error:
            print(f"{name}: no results: {error}")
            failed += 1
            continue
        counts = [0, 0, 0]
        for case in cases:
            if case.find("failure") is not None or case.find("error") is not None:
                counts[1] += 1
                print(f"failed: {name}: {case.get('classname', '')} {case.get('name')}")
            elif case.find("skipped") is not None or case.get("status") in ("disabled", "notrun"):
                counts[2] += 1
            else:
                counts[0] += 1
        print(f"{name}: {counts[0]} passed, {counts[1]} failed, {counts[2]} skipped")
        if not cases:
            print(f"{name}: ran no test")
            failed += 1
        passed, failed, skipped = passed + counts[0], failed + counts[1], skipped + counts[2]
    print(f"{passed} passed, {failed} failed" + (f", {skipped} skipped" if skipped else ""), flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
