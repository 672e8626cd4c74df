#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Tests of measured.py, and that README.md shows the figures of bench/results.md."""
import sys
import unittest

import measured


class Measured(unittest.TestCase):
    def setUp(self):
        self.results = (measured.ROOT / "bench/results.md").read_text()
        self.readme = (measured.ROOT / "README.md").read_text()

    def test_the_readme_is_up_to_date(self):
        self.assertEqual(measured.replaced(self.readme, self.results), self.readme)

    def test_a_figure_that_changed_is_noticed(self):
        row = next(line for line in self.results.splitlines() if line.startswith("| ring.1p"))
        cell = measured.cells(row)[3]
        changed = self.results.replace(row, row.replace(cell, "12,345 (9.99)"), 1)
        self.assertIn("12,345 (9.99)", measured.replaced(self.readme, changed))

    def test_a_row_that_is_missing_is_named(self):
        without = self.results.replace("| ring.1p", "| gone.1p")
        with self.assertRaisesRegex(SystemExit, "ring.1p"):
            measured.table(without)


if __name__ == "__main__":
    result = unittest.main(exit=False, argv=sys.argv[:1]).result
    bad = len(result.failures) + len(result.errors)
    print(f"{result.testsRun - bad} passed, {bad} failed")
    sys.exit(bad != 0)
