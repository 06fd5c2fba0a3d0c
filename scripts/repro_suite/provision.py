"""Installs the packages under test for every interpreter found: the last step of scripts/setup.

    python -m repro_suite.provision [TARGET]      TARGET is that of scripts/setup, by default repro: everything

Promises: idempotent, and silent when all is there; each install is made beside its place and renamed into it, so that
an interrupted one leaves nothing half done; a package without a wheel for an interpreter is said and remembered, any
other failure ends the set-up with the words of pip or the compiler. Builds no package from source: a wheel as users
get it is what is tested; victims in compiled languages are built.
"""

from __future__ import annotations

import concurrent.futures
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Optional

from repro_suite.cases import all_cases
from repro_suite.interpreters import Interpreter, find_interpreters
from repro_suite.packages import INSTALLED_STAMP, MISSING_STAMP, Site, site_for

# A machine that only has Python (a root of make test-glibc) is made ready for what is installed from wheels alone.
FOR_PYTHON = {"python": "run"}
NO_SUCH_WHEEL = "No matching distribution found"
# pip says NO_SUCH_WHEEL as well when it reached no index at all; then it has retried before.
INDEX_UNREACHABLE = "Retrying ("


class InstallFailed(Exception):
    """pip failed for another reason than a wheel that does not exist."""


def main(argv: Sequence[str]) -> int:
    pending = _pending_sites(argv[0] if argv else "repro")
    if not pending:
        return 0
    with concurrent.futures.ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        jobs = {pool.submit(_install, site, interpreter): site for site, interpreter in pending.items()}
        for job in concurrent.futures.as_completed(jobs):
            site = jobs[job]
            try:
                print("setup: %s for %s: %s" % (site.packages.label, site.tag, job.result()), flush=True)
            except InstallFailed as failure:
                print(
                    "setup: cannot install %s for %s:\n%s" % (site.packages.label, site.tag, failure), file=sys.stderr
                )
                pool.shutdown(cancel_futures=True)
                return 1
    return 0


def _pending_sites(target: str) -> dict[Site, Interpreter]:
    """What is neither installed nor known to be missing, with an interpreter to install it with."""
    interpreters = find_interpreters()
    if not interpreters:
        return {}
    sites = {
        site_for(packages, interpreter): interpreter
        for case in all_cases()
        if FOR_PYTHON.get(target, target) in case.made_ready_for
        for packages in case.package_sets
        for interpreter in interpreters
        if case.supports(interpreter)
    }
    return {
        site: interpreter
        for site, interpreter in sites.items()
        if not site.is_installed() and site.missing_reason() is None
    }


def _install(site: Site, interpreter: Interpreter) -> str:
    """Installs one set; returns what to say about it."""
    staging = site.directory.with_name(site.directory.name + ".part")
    shutil.rmtree(staging, ignore_errors=True)
    shutil.rmtree(site.directory, ignore_errors=True)
    staging.mkdir(parents=True)
    answer = _install_wheels(site, interpreter, staging)
    if answer is None or answer.returncode == 0:
        _build_programs(site, staging)
        (staging / INSTALLED_STAMP).write_text(site.packages.stamp)
        said = "installed"
    elif NO_SUCH_WHEEL in answer.stderr and INDEX_UNREACHABLE not in answer.stderr:
        said = "no wheel for CPython %d.%d" % interpreter.version[:2]
        (staging / MISSING_STAMP).write_text(site.packages.stamp + said + "\n")
    else:
        raise InstallFailed(answer.stderr.strip() or answer.stdout.strip())
    staging.rename(site.directory)
    return said


def _install_wheels(site: Site, interpreter: Interpreter, staging: Path) -> Optional[subprocess.CompletedProcess]:
    if not site.packages.requirements:
        return None
    command = _pip(interpreter) + ["install", "--quiet", "--disable-pip-version-check", "--no-input"]
    command += ["--only-binary=:all:", "--target", str(staging), *site.packages.requirements]
    return subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL)


def _build_programs(site: Site, staging: Path) -> None:
    for program in site.packages.programs:
        paths = {"{source}": str(program.source), "{out}": str(staging / program.name), "{site}": str(staging)}
        command = [_with_paths(word, paths) for word in program.command]
        try:
            answer = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL)
        except FileNotFoundError:
            raise InstallFailed("no %s here: run scripts/setup repro" % command[0]) from None
        if answer.returncode != 0:
            raise InstallFailed("%s\n%s" % (" ".join(command), answer.stderr.strip()))


def _with_paths(word: str, paths: dict[str, str]) -> str:
    for placeholder, path in paths.items():
        word = word.replace(placeholder, path)
    return word


def _pip(interpreter: Interpreter) -> list[str]:
    """The interpreter's own pip, which knows its wheel tags; else the driver's, run by that interpreter."""
    own = [str(interpreter.path), "-m", "pip"]
    if subprocess.run(own + ["--version"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode == 0:
        return own
    return [sys.executable, "-m", "pip", "--python", str(interpreter.path)]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
