"""The scripted repro suite: real packages that break across fork, run many times without the shim and with it.

A *case* is one way in which a published package breaks; a *combination* is a case with one version of its packages, one
interpreter and one mode (without the shim or with it); an *iteration* is one fork (or one short process) of it and has
one outcome: ok, lockup, crash or wrong. A new case is a module in `cases/`, which is found by being there.
"""
