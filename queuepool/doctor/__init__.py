"""`queuepool doctor`: what is wrong, the proof of it, and what mends it. looks/ gathers facts/, checks/ turns them into
findings and is pure, report.py orders them, fixes.py mends. How a report is printed is cli/doctor.py's matter."""

import queuepool.config  # noqa: F401 - before anything imports pydantic: see there what that saves
