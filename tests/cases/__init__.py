"""The tests. A file declares them (harness/registry.py); its programs are in tests/programs and tests/preload."""
