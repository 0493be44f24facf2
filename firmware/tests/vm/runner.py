"""Runs the tests of one module on the MicroPython VM: `micropython runner.py TREE MODULE`.

Not a framework: it calls every `test_*` function and prints one line each, then a traceback for
each that failed. `firmware/tests/conftest.py` starts it and reads the lines.
"""

import gc
import sys


def main() -> int:
    """Run and return the exit code: 0 when all passed, 1 otherwise."""
    tree = sys.argv[1]
    sys.path[:] = [tree + "/modules", tree, ".frozen"]
    module = __import__(sys.argv[2])
    failed = 0
    for test in sorted(dir(module)):
        if not test.startswith("test_"):
            continue
        gc.collect()
        try:
            getattr(module, test)()
            print("PASS", test)
        except Exception as error:
            failed += 1
            print("FAIL", test)
            sys.print_exception(error)
    return 1 if failed else 0


sys.exit(main())
