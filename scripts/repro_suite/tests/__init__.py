"""Tests of the suite itself: that it sees what breaks, and counts it once.

cd scripts && ../build/venv/bin/python -m unittest discover -t . -s repro_suite/tests
"""
