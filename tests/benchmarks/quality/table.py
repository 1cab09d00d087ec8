"""Results as a table: the share of the original's scores that is kept, mean and spread over seeds."""

import statistics

from tests.benchmarks.quality.cells import SETS


def table(lines: list[dict], original: dict[str, float]) -> str:
    """Markdown: retained shares, mean over seeds with their spread."""
    rows = ["| recipe | part | minutes | preset | data | seeds | " + " | ".join(SETS) + " | mean |"]
    rows.append("|---" * (len(SETS) + 7) + "|")
    groups: dict[tuple, list[dict[str, float]]] = {}
    for line in lines:
        key = tuple(line[name] for name in ("recipe", "part", "minutes", "preset", "data"))
        groups.setdefault(key, []).append(
            {name: 100 * line["scores"][name] / original[name] for name in SETS}
        )
    for key, shares in sorted(groups.items(), key=str):
        columns = [[share[name] for share in shares] for name in SETS]
        columns.append([statistics.fmean(share.values()) for share in shares])
        rows.append(f"| {' | '.join(map(str, key))} | {len(shares)} | {' | '.join(map(spread, columns))} |")
    return "\n".join(rows)


def spread(values: list[float]) -> str:
    """Mean and, of several seeds, the standard deviation."""
    return f"{statistics.fmean(values):.1f}" + (
        f" ± {statistics.stdev(values):.1f}" if len(values) > 1 else ""
    )
