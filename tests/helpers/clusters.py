"""A Ray cluster of two nodes and a Slurm site of one, both on this machine, for the tests of their executors."""

import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
from filelock import FileLock
from helpers.sweeps import ROOT, alive, start, wait_for


@contextmanager
def service(command: list[str], log: Path, env: Mapping[str, str]) -> Iterator[subprocess.Popen]:
    """A process in a session of its own, ended with all that it started."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, stdout=output, stderr=subprocess.STDOUT, env={**os.environ, **env}, start_new_session=True
        )
    try:
        yield process
    finally:
        family = descendants(process.pid)
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        kill(*family)


@contextmanager
def commands(cwd: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """A way to start `bench ARGUMENTS` in processes that do not outlive the block."""
    begun: list[subprocess.Popen[str]] = []

    def begin(*arguments: str) -> subprocess.Popen[str]:
        begun.append(start(*arguments, cwd=cwd))
        return begun[-1]

    try:
        yield begin
    finally:
        for process in begun:
            process.kill()
            process.communicate()


def descendants(pid: int) -> list[int]:
    """Living processes that this one has started, and those that they have."""
    found = subprocess.run(["ps", "-o", "pid=", "--ppid", str(pid)], capture_output=True, text=True, check=False)
    return [each for child in map(int, found.stdout.split()) for each in (child, *descendants(child))]


def kill(*pids: int) -> None:
    """As if the power went; those that are gone are passed over."""
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    wait_for(lambda: not any(alive(pid) for pid in pids))


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on."""
    with ExitStack() as stack:
        listeners = [stack.enter_context(socket.socket()) for _ in range(count)]
        for listener in listeners:
            listener.bind(("127.0.0.1", 0))
        return [listener.getsockname()[1] for listener in listeners]


@dataclass(frozen=True)
class RayCluster:
    """A head with two cores, as far as Ray knows."""

    address: str
    env: Mapping[str, str]
    """What a process needs to join."""
    folder: Path

    @property
    def plugins(self) -> Path:
        """Where every process of the cluster looks for packages too."""
        return self.folder / "plugins"

    @contextmanager
    def node(self, name: str, *options: str) -> Iterator[subprocess.Popen]:
        """One more, also with two cores, until the end of the block."""
        command = [str(Path(sys.executable).with_name("ray")), "start", "--block", "--disable-usage-stats"]
        command += ["--object-store-memory=100000000", "--num-cpus=2", "--node-ip-address=127.0.0.1"]
        log = self.folder / f"{name}.log"
        env = {**self.env, "OMP_NUM_THREADS": "1", "PYTHONPATH": f"{ROOT}:{self.plugins}"}
        with service([*command, *(options or [f"--address={self.address}"])], log, env) as process:
            wait_for(lambda: process.poll() is not None or "Ray runtime started" in log.read_text())
            assert process.poll() is None, log.read_text()
            yield process


@contextmanager
def ray_cluster(folder: Path) -> Iterator[RayCluster]:
    """Start one; skips the test without Ray."""
    pytest.importorskip("ray", reason="Ray is not installed; pip install '.[ray]'")
    token = folder / "token"
    token.write_text(secrets.token_hex(32))
    env = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(token)}
    (port,) = free_ports(1)
    cluster = RayCluster(f"127.0.0.1:{port}", env, folder)
    # the paths of sockets are in there, and have little room
    with tempfile.TemporaryDirectory(prefix="ray-", ignore_cleanup_errors=True) as temporary:
        head = ["--head", f"--port={port}", "--include-dashboard=false", f"--temp-dir={temporary}"]
        with cluster.node("head", *head):
            yield cluster


SLURM = """
ClusterName=bench
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.sock,cred_expire=5
CredType=cred/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
MpiDefault=none
ReturnToService=2
KillWait=2
SchedulerParameters=sched_interval=1,bf_interval=1
NodeName={host} NodeAddr=127.0.0.1 CPUs={cores} State=UNKNOWN
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP PriorityTier=1
PartitionName=urgent Nodes=ALL MaxTime=INFINITE State=UP PriorityTier=2
"""
"""One node; no accounting, no control groups. A requeued job waits until its credential expires, so it does soon."""
PROGRAMS = ("slurmctld", "slurmd", "munged", "sbatch", "squeue", "scancel", "srun")


def install_slurm() -> None:
    """With apt, where that is possible; skips the test elsewhere."""
    pytest.importorskip("submitit", reason="submitit is not installed; pip install '.[slurm]'")
    if os.geteuid() != 0:
        pytest.skip("Slurm's daemons need root")
    with FileLock(Path(tempfile.gettempdir()) / "bench-tests-apt.lock"):
        if all(map(shutil.which, PROGRAMS)):
            return
        if shutil.which("apt-get") is None:
            pytest.skip("Slurm is not installed, and there is no apt-get to install it with")
        env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        for arguments in (["update"], ["install", "-y", "--no-install-recommends", "slurm-wlm", "munge"]):
            done = subprocess.run(["apt-get", *arguments], env=env, capture_output=True, text=True, check=False)
            if done.returncode:
                reason = (done.stderr.strip() or "no reason given").splitlines()[-1]
                pytest.skip(f"Slurm is not installed, and apt-get {arguments[0]} failed: {reason}")


@contextmanager
def slurm_site(folder: Path) -> Iterator[Mapping[str, str]]:
    """A site of one node with two cores, with all that it keeps in `folder`; yields what a user's environment needs."""
    install_slurm()
    for name in ("state", "spool"):
        (folder / name).mkdir()
    conf = folder / "slurm.conf"
    cores = min(2, os.cpu_count() or 1)
    conf.write_text(SLURM.format(host=socket.gethostname(), ports=free_ports(2), folder=folder, cores=cores))
    env = {"SLURM_CONF": str(conf)}
    key = folder / "munge.key"
    key.write_bytes(secrets.token_bytes(128))
    key.chmod(0o400)
    files = {"key-file": key, "socket": folder / "munge.sock", "pid-file": folder / "munge.pid"}
    files |= {"log-file": folder / "munge.log", "seed-file": folder / "munge.seed"}
    munge = ["munged", "--foreground", "--force", *(f"--{name}={path}" for name, path in files.items())]
    with ExitStack() as stack:
        stack.enter_context(service(munge, folder / "munged.out", env))
        wait_for(files["socket"].exists)
        for daemon in (["slurmctld", "-D", "-c"], ["slurmd", "-D"]):
            stack.enter_context(service(daemon, folder / f"{daemon[0]}.out", env))
        wait_for(lambda: "idle" in slurm(env, "sinfo", "--noheader", "--format=%T"))
        stack.callback(slurm, env, "scancel", "--full", "--user=root")
        yield env


def slurm(env: Mapping[str, str], *command: str) -> str:
    """What one of Slurm's commands prints."""
    done = subprocess.run(command, env={**os.environ, **env}, capture_output=True, text=True, check=False)
    return done.stdout
