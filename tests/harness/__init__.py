"""The test runner's parts. Standard library only, Python 3.9 and later."""
