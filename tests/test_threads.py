"""Two audits at once must not stall each other; how long they take is measured in benchmarks/README.md."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from deeptroubles.threads import SETTINGS, share_the_cores


def test_threads_sleep_while_they_wait_unless_the_user_says_otherwise(monkeypatch):
    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "7")
    share_the_cores()
    assert os.environ["OMP_WAIT_POLICY"] == "passive"
    assert os.environ["OPENBLAS_NUM_THREADS"] == "7"
    monkeypatch.setenv("OMP_WAIT_POLICY", "passive")  # so that it is taken back


@pytest.mark.skipif(sys.platform != "linux", reason="reads the number of threads of this process in Linux's way")
def test_the_command_line_says_so_before_the_libraries_start():
    """OpenBLAS reads its setting when NumPy is imported: only the main thread may exist afterwards."""
    code = (
        "import sys, os; sys.argv = ['deeptroubles', '--version']\n"
        "import deeptroubles.cli as cli\n"
        "assert not {'numpy', 'torch', 'scipy'} & set(sys.modules)\n"
        "try: cli.main()\n"
        "except SystemExit: pass\n"
        "import numpy as np\n"
        "np.ones((500, 500)) @ np.ones((500, 500))\n"
        "print(len(os.listdir('/proc/self/task')), os.environ['OMP_WAIT_POLICY'])"
    )
    clean = {name: value for name, value in os.environ.items() if name not in {*SETTINGS, "OMP_NUM_THREADS"}}
    ran = subprocess.run([sys.executable, "-c", code], env=clean, capture_output=True, text=True, check=True)
    assert ran.stdout.split()[-2:] == ["1", "passive"]
