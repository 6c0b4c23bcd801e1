"""`python -m benchmarks [--quick] [section…]`: measure, keep the results, write docs/performance.md anew."""

import argparse
import sys
from datetime import UTC, datetime

from benchmarks import boxes, machine, progress, report, result, sections


def measure(name: str, *, quick: bool) -> list[bool]:
    """Which of the section's targets are reached."""
    section = sections.section(name)
    boxes.begin(name, quick=quick)
    with progress.section(section.TITLE) as tell:
        found = section.run(quick, tell)
    boxes.end()
    at = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    document = found.to_document(name, at=at, machine=machine.machine(quick=quick))
    result.write(document)
    print(report.targets_table(document) if found.targets else "", flush=True)
    return [target["reached"] for target in document["targets"].values()]


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Measures Lastmile beside its rivals.")
    parser.add_argument("sections", nargs="*", metavar="section", help=f"of {', '.join(sections.NAMES)}")
    parser.add_argument("--all", action="store_true", help=f"every section, instead of {', '.join(sections.SPEED)}")
    parser.add_argument("--quick", action="store_true", help="three minutes instead of thirty, with a wider spread")
    options = parser.parse_args(arguments)
    if unknown := sections.unknown(options.sections):
        parser.error(f"There is no section {unknown[0]}; there are {', '.join(sections.NAMES)}.")
    names = options.sections or (sections.NAMES if options.all else sections.SPEED)
    reached = [target for name in names for target in measure(name, quick=options.quick)]
    report.write()
    print(f"{sum(reached)} of {len(reached)} targets are reached; see docs/performance.md.")


if __name__ == "__main__":
    main(sys.argv[1:])
