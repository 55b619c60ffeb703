"""How processes ended, from the lines that supervisord 4.2.5 and 4.3.0 write."""

from __future__ import annotations

from queuepool.formats.supervisor_ends import Ending, endings

LOG = """\
2026-11-29 08:00:00,123 INFO spawned: 'w_00' with pid 12
2026-11-29 08:00:01,123 INFO success: w_00 entered RUNNING state, process has stayed up for > than 1 seconds (startsecs)
2026-11-29 08:00:02,123 WARN exited: w_00 (exit status 255; not expected)
2026-11-29 08:00:03,123 INFO exited: w_00 (exit status 0; expected)
2026-11-29 08:00:04,123 WARN exited: w_01 (terminated by SIGSEGV (core dumped); not expected)
2026-11-29 08:00:05,123 WARN stopped: w_02 (terminated by SIGTERM)
2026-11-29 08:00:05,123 INFO stopped: w_03 (exit status 0)
2026-11-29 08:00:06,123 WARN exited: w_04 (terminated by signal 42; not expected)
2026-11-29 08:00:06,123 INFO waiting for w_00 to die
"""


def test_every_form_of_an_end_is_read() -> None:
    assert endings(LOG) == {
        "w_00": [Ending(255, asked=False), Ending(0, asked=False)],
        "w_01": [Ending(-11, asked=False)],
        "w_02": [Ending(-15, asked=True)],
        "w_03": [Ending(0, asked=True)],
        "w_04": [Ending(-42, asked=False)],
    }
