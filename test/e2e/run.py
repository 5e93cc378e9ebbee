"""Runs the end-to-end tests of this folder and writes a junit file.

    python test/e2e/run.py [--junit FILE] [--long] [--match TEXT]

A module is a test by its name, test_*.py; test_long_*.py run with --long only.
"""

import argparse
import os
import pathlib
import sys
import time
import unittest
import xml.etree.ElementTree as xml

HERE = pathlib.Path(__file__).resolve().parent
TREE = HERE.parents[1]
sys.path[:0] = [str(HERE), str(TREE / "python"), str(TREE / "benchmarks")]
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TRANSFORMERS_OFFLINE", "1")


class Result(unittest.TextTestResult):
    def __init__(self, *arguments, **named):
        super().__init__(*arguments, **named)
        self.cases, self.started = [], 0.0

    def startTest(self, test):
        super().startTest(test)
        self.started = time.perf_counter()
        self.bad_subtests = []

    def note(self, test, kind=None, text=""):
        self.cases.append((test.id(), time.perf_counter() - self.started, kind, text))

    def addSuccess(self, test):
        super().addSuccess(test)
        self.note(test)

    def addFailure(self, test, error):
        super().addFailure(test, error)
        self.note(test, "failure", self.failures[-1][1])

    def addError(self, test, error):
        super().addError(test, error)
        self.note(test, "error", self.errors[-1][1])

    def addSkip(self, test, reason):
        super().addSkip(test, reason)
        self.note(test, "skipped", reason)

    def addSubTest(self, test, subtest, error):
        super().addSubTest(test, subtest, error)
        if error is not None:
            self.note(subtest, "failure", self._exc_info_to_string(error, test))


def tests(suite):
    for test in suite:
        if isinstance(test, unittest.TestSuite):
            yield from tests(test)
        else:
            yield test


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--junit")
    parser.add_argument("--long", action="store_true")
    parser.add_argument("--match", default="")
    options = parser.parse_args()
    suite = unittest.TestSuite()
    loader = unittest.TestLoader()
    for path in sorted(HERE.glob("test_*.py")):
        if path.stem.startswith("test_long_") and not options.long:
            continue
        for test in tests(loader.loadTestsFromName(path.stem)):
            if options.match in test.id():
                suite.addTest(test)
    result = unittest.TextTestRunner(verbosity=2, resultclass=Result, stream=sys.stdout).run(suite)
    if options.junit:
        root = xml.Element("testsuite", name="e2e", tests=str(len(result.cases)))
        for name, seconds, kind, text in result.cases:
            case = xml.SubElement(root, "testcase", name=name, classname="e2e", time=f"{seconds:.3f}")
            if kind:
                xml.SubElement(case, kind).text = "".join(c for c in text if c >= " " or c in "\n\t")
        xml.ElementTree(root).write(options.junit)
    return 0 if result.wasSuccessful() else 1


if __name__ == "__main__":
    sys.exit(main())
