"""A clean Debian below a folder, as bare as a box before its first provisioning, and programs run inside it.

Wants root, debootstrap and the right to make mount namespaces; nothing is mounted for anybody else to see.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

# Mounts in a namespace of its own, that ends with it; then the command, with nothing of our environment.
_INSIDE = """
set -e
root=$1; shift
mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev"
while [ "$1" != -- ]; do mkdir -p "$root$2"; mount --bind "$1" "$root$2"; shift 2; done
shift
exec chroot "$root" "$@"
"""
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_CHANGES_BY_ITSELF = ("proc", "dev", "sys", "tmp", "run", "var/cache", "var/log", "vagrant")


def mirror() -> str:
    """The Debian mirror that this machine's own apt uses."""
    words = ["apt-get", "indextargets", "--format", "$(REPO_URI)", "Identifier: Packages", "Origin: Debian"]
    told = subprocess.run(
        [*words, "Label: Debian"], capture_output=True, text=True, timeout=900, check=True
    ).stdout.split()
    if not told:
        raise RuntimeError("apt knows no Debian mirror: apt-get update first")
    return told[0]


def debootstrap(
    root: Path,
    suite: str = "bookworm",
    *,
    include: Sequence[str] = ("systemd", "ca-certificates"),
    timeout_s: float = 9000,
) -> None:
    """A minimal Debian with `include` added, below `root`. Takes about half a minute; raises CalledProcessError."""
    program = shutil.which("debootstrap", path=PATH) or "debootstrap"
    command = [program, "--variant=minbase", f"--include={','.join(include)}", suite, str(root), mirror()]
    subprocess.run(command, capture_output=True, text=True, timeout=timeout_s, check=True)
    root.chmod(0o755)  # it is the "/" of everybody inside


@dataclass(frozen=True, slots=True)
class Chroot:
    """One such Debian; `mounts`: folder of ours -> where it appears inside."""

    root: Path
    mounts: Mapping[Path, str] = field(default_factory=dict)

    def copy(self, root: Path, mounts: Mapping[Path, str]) -> Chroot:
        """Another one with the same contents."""
        subprocess.run(["cp", "-a", f"{self.root}/.", str(root)], timeout=900, check=True)
        return Chroot(root, mounts)

    def run(
        self, command: Sequence[str], environ: Mapping[str, str], *, timeout_s: float = 900
    ) -> subprocess.CompletedProcess[str]:
        """Run `command` inside with `environ` alone; its output is kept, its status is the caller's to judge."""
        pairs = [word for ours, inside in self.mounts.items() for word in (str(ours), inside)]
        variables = {"PATH": PATH, "HOME": "/root", "LANG": "C.UTF-8", **environ}
        outer = [
            "unshare",
            "--mount",
            "--pid",
            "--fork",
            "--kill-child",
            "sh",
            "-c",
            _INSIDE,
            "sh",
            str(self.root),
        ]
        inner = ["env", "-i", *(f"{name}={value}" for name, value in variables.items()), *command]
        return subprocess.run(
            [*outer, *pairs, "--", *inner], capture_output=True, text=True, timeout=timeout_s, check=False
        )

    def snapshot(self) -> dict[str, str]:
        """Every file with its mode, owner and content, but for what a running system changes by itself."""
        return {str(path.relative_to(self.root)): _fingerprint(path) for path in self._files(self.root)}

    def _files(self, folder: Path) -> Iterator[Path]:
        for entry in sorted(os.scandir(folder), key=lambda one: one.name):
            path = Path(entry.path)
            relative = str(path.relative_to(self.root))
            if relative in _CHANGES_BY_ITSELF or "__pycache__" in relative:
                continue
            yield path
            if entry.is_dir(follow_symlinks=False):
                yield from self._files(path)


def _fingerprint(path: Path) -> str:
    status = path.lstat()
    content = ""
    if stat.S_ISLNK(status.st_mode):
        content = str(path.readlink())
    elif stat.S_ISREG(status.st_mode):
        content = hashlib.sha256(path.read_bytes()).hexdigest()
    return f"{status.st_mode:o} {status.st_uid}:{status.st_gid} {content}"
