"""valkey-glide (Rust, tokio, pyo3): leaves cleanly by itself, and must go on doing so; beside etcd-client-py it dies
with it."""

from __future__ import annotations

from repro_suite.case import ANYTHING, HEALTHY, Trial
from repro_suite.cases.etcd import ETCD_CLIENTS, VALKEY_GLIDE, ExitCase
from repro_suite.exit_loop import Scenario
from repro_suite.packages import site_for


class ValkeyCase(ExitCase):
    groups = ("valkey",)
    package_sets = (VALKEY_GLIDE,)

    def _add_path(self, trial: Trial) -> None:
        pass


class TogetherCase(ValkeyCase):
    """With the newest etcd-client-py that the interpreter has a wheel for."""

    def _add_path(self, trial: Trial) -> None:
        sites = [site_for(packages, trial.interpreter) for packages in ETCD_CLIENTS[:2]]
        newest = [site for site in sites if site.is_installed()][-1]
        trial.environment["PYTHONPATH"] += ":%s" % newest.directory


CASES = [
    ValkeyCase("valkey-async", "valkey-glide: 50 sets in flight", HEALTHY, Scenario("glide-async", 50)),
    ValkeyCase("valkey-sync", "valkey-glide: the synchronous client", HEALTHY, Scenario("glide-sync", 50)),
    ValkeyCase("valkey-both", "valkey-glide: both clients", HEALTHY, Scenario("glide-both", 50)),
    TogetherCase("valkey-etcd", "valkey-glide and etcd-client-py in flight, on one CPU", ANYTHING, Scenario("open-s6", 50),
                 pinned=True),
]
