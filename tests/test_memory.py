"""How much memory the largest checks take, on the embedded network and the photographs that come with the package."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

LIMIT = 2.0
"""GiB. Measured alone: 1.6 (2026-11-28, torch 2.13, two threads); 4.3 before batches had a bound."""
PROGRAM = """
import sys
from pathlib import Path
from deeptroubles import audit, load_classifier, load_images
from deeptroubles.memory import keep_freed_memory
keep_freed_memory()
found = audit(load_classifier("efficientnet-lite0"), load_images("demo"), sys.argv[1], checks=sys.argv[2:])
assert not [f.claim for f in found.findings if f.verdict == "error"]
status = Path("/proc/self/status").read_text()  # not ru_maxrss, which begins with the size of the parent
print(int(status.partition("VmHWM:")[2].split()[0]) / 2**20)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the peak is read from /proc, which only Linux has")
def test_the_largest_checks_stay_below_a_bound(tmp_path):
    command = [sys.executable, "-c", PROGRAM, str(tmp_path / "run"), "adversarial.patch", "adversarial.fooling"]
    done = subprocess.run(
        command, env=os.environ | {"OMP_NUM_THREADS": "1"}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) < LIMIT
