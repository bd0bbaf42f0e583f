"""A machine that nobody prepared: a fresh Debian in mount, pid, net, uts and ipc namespaces of its own.

Nothing of the host is inside but the way to the package mirror: its name, its certificates, apt's and pip's settings.
The namespaces end with the process that holds them, and so does everything that runs in them.
"""

from __future__ import annotations

import contextlib
import os
import select
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from scripts.cluster.patience import Patience

from dronedispatch.testing.chroot import PATH, debootstrap, mirror

NETWORK_WITHIN_S = 30.0
NAME_SERVER = "10.0.2.3"  # slirp4netns answers there with the host's own
APT_SETTINGS = ("Acquire::http", "Acquire::https", "Acquire::Check", "Acquire::Retries")
VARIABLES = (
    *("http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY"),
    *("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_CERT", "PIP_PROXY"),
    *("PIP_TRUSTED_HOST", "PIP_DEFAULT_TIMEOUT"),
    *("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"),
)
PIP_FILES = ("/etc/pip.conf", "~/.config/pip/pip.conf", "~/.pip/pip.conf", "~/.netrc")
CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")

# The root becomes "/" for good (a chroot would refuse user namespaces inside). bash stays as process 1: it reaps orphans.
_INIT = """
set -e
root=$1
mount --make-rprivate /
mount --bind "$root" "$root"
mount -t proc proc "$root/proc"
mount -t sysfs sysfs "$root/sys"
mount --rbind /dev "$root/dev"
mount -t tmpfs -o mode=1777 tmpfs "$root/dev/shm"
mount -t tmpfs -o mode=755 tmpfs "$root/run"
hostname clean
cd "$root"
pivot_root . .
umount -l .
cd /
ip=$(command -v ip || true)
[ -z "$ip" ] || "$ip" link set lo up
echo ready
exec bash -c 'trap "exit 0" TERM INT; while read -r -t 1 || [ $? -gt 128 ]; do :; done'
"""


@dataclass(frozen=True, slots=True)
class CleanMachine:
    """One such machine while it is on. `pid`: its first process, as the host sees it."""

    root: Path
    pid: int
    environ: Mapping[str, str]

    def start(self, command: Sequence[str], folder: str = "/root") -> subprocess.Popen[str]:
        """Begin `command` inside, in a session of its own; its output, merged, is the caller's to read by lines."""
        pairs = [f"{name}={value}" for name, value in self.environ.items()]
        spaces = ("--mount", "--pid", "--net", "--uts", "--ipc")
        enter = ["nsenter", f"--target={self.pid}", *spaces, f"--wdns={folder}"]
        return subprocess.Popen(
            [*enter, "env", "-i", *pairs, *command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        )

    def run(self, command: Sequence[str], say: Callable[[str], None], folder: str = "/root") -> int:
        """Run to the end and tell each line; returns the exit code (negative: the signal that ended it)."""
        with self.start(command, folder) as child:
            try:
                for line in child.stdout or ():
                    say(line.rstrip("\n"))
            except BaseException:
                child.kill()
                raise
        return child.returncode

    def ask(self, command: Sequence[str]) -> str:
        """The output of a short command; empty when it fails."""
        lines: list[str] = []
        return "\n".join(lines) if self.run(command, lines.append) == 0 else ""


def bootstrap(root: Path, release: str) -> None:
    """Make the clean Debian `release` below `root`, with the host's way to the mirror and nothing else of the host."""
    debootstrap(root, release, include=("ca-certificates",), timeout_s=1800)
    configure(root, release)


def configure(root: Path, release: str) -> None:
    """Give the machine its name and its way to the mirror."""
    _write(root / "etc/apt/sources.list", f"deb {mirror()} {release} main\n")
    _write(root / "etc/apt/apt.conf.d/90mirror", _apt_settings())
    _write(root / "etc/hosts", "127.0.0.1 localhost clean\n::1 localhost\n")
    _write(root / "etc/hostname", "clean\n")
    _write(root / "etc/resolv.conf", f"nameserver {NAME_SERVER}\n")
    for name in ("/etc/apt/auth.conf", str(CERTIFICATES), *PIP_FILES):
        ours = Path(name).expanduser()
        if ours.is_file():
            inside = root / (name.replace("~", "root") if name.startswith("~") else name.lstrip("/"))
            inside.unlink(missing_ok=True)
            _write(inside, ours.read_text(encoding="utf-8"))
    shutil.rmtree(root / "var/cache/apt/archives", ignore_errors=True)
    (root / "var/cache/apt/archives/partial").mkdir(parents=True)


def _apt_settings() -> str:
    listed = subprocess.run(["apt-config", "dump"], capture_output=True, text=True, timeout=30, check=True)
    return "".join(line for line in listed.stdout.splitlines(keepends=True) if line.startswith(APT_SETTINGS))


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def environment() -> dict[str, str]:
    """What a login there would have, and the settings of the mirror."""
    kept = {name: os.environ[name] for name in VARIABLES if name in os.environ}
    return {"PATH": PATH, "HOME": "/root", "USER": "root", "LANG": "C.UTF-8", "TERM": "dumb", **kept}


@contextlib.contextmanager
def switched_on(root: Path) -> Iterator[CleanMachine]:
    """The machine of `root` with its namespaces and a network of its own. Raises TimeoutError, RuntimeError."""
    flags = ["--mount", "--pid", "--net", "--uts", "--ipc", "--fork", "--kill-child", "--propagation=private"]
    with contextlib.ExitStack() as held:
        holder = held.enter_context(
            _ended(
                ["unshare", *flags, "sh", "-c", _INIT, "sh", str(root)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
            )
        )
        assert holder.stdout is not None
        _await(holder, holder.stdout.fileno(), "the namespaces")
        pid = only_child(holder.pid)
        reading, writing = os.pipe()
        # slirp4netns ends when nobody holds `end` any more: also after kill -9 of ourselves.
        ends, end = os.pipe()
        held.callback(os.close, reading)
        held.callback(os.close, end)
        network = ["slirp4netns", "--configure", "--mtu=65520", "--disable-host-loopback"]
        signs = [f"--ready-fd={writing}", f"--exit-fd={ends}"]
        try:
            slirp = held.enter_context(
                _ended(
                    [*network, *signs, str(pid), "tap0"],
                    pass_fds=(writing, ends),
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                )
            )
        finally:
            os.close(writing)
            os.close(ends)
        _await(slirp, reading, "the network")
        yield CleanMachine(root, pid, environment())


@contextlib.contextmanager
def _ended(command: Sequence[str], **how: object) -> Iterator[subprocess.Popen[bytes]]:
    """A helper process that does not outlive the block; Ctrl-C at the terminal is ours to act on, not its."""
    child = subprocess.Popen(list(command), start_new_session=True, **how)  # type: ignore[call-overload]
    try:
        yield child
    finally:
        child.kill()
        child.wait()
        for stream in (child.stdin, child.stdout):
            if stream is not None:
                stream.close()


def _await(child: subprocess.Popen[bytes], descriptor: int, what: str) -> None:
    ready, _, _ = select.select([descriptor], [], [], NETWORK_WITHIN_S)
    if not ready:
        raise TimeoutError(f"{what} did not come up within {NETWORK_WITHIN_S:.0f} s")
    if not os.read(descriptor, 64):
        raise RuntimeError(f"{what} could not be made ({child.args[0]!r} ended): see its words above")  # type: ignore[index]


def only_child(parent: int) -> int:
    """What `unshare` or `nsenter` runs, as the host sees it. Raises TimeoutError when it has not begun."""
    children = Path(f"/proc/{parent}/task/{parent}/children")
    if Patience(NETWORK_WITHIN_S, 0.05).until(lambda: bool(children.read_text(encoding="ascii").split())):
        return int(children.read_text(encoding="ascii").split()[0])
    raise TimeoutError(f"process {parent} has started nothing")
