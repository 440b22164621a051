"""A release in one command: ``python -m tests.release 0.2.0``, and ``--go`` to mean it.

Everything happens in a clone of this checkout's last commit: the version is written, the changes
since the last release are listed, the formula, its packages and the launch agent are judged, the
commit and its tag are made, and the wheel and the sdist are built twice, compared byte by byte and
installed in an empty environment. Only ``--go`` brings commit and tag back here; nothing is ever
pushed, and what was built is kept where ``--dist`` says.

All dates are that of the commit that the release stands on, so whoever makes it again from there
makes the same bytes: ``SOURCE_DATE_EPOCH`` for the files, and git's own for commit and tag.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path

from packaging.version import InvalidVersion, Version

ROOT = Path(__file__).parents[1]
VERSIONED = {
    Path("mlxoss/__init__.py"): re.compile(r'^(__version__ = ")(.+)(")$', re.MULTILINE),
    Path("Formula/mlxoss.rb"): re.compile(r'^(  version ")(.+)(")$', re.MULTILINE),
}
CHANGES = Path(".github/CHANGELOG.md")
TITLE = "# What changed\n"
JUDGES = ("tests/formula", "tests/service/test_plist.py", "tests/test_supply.py")
"""The formula against its packages and the agent; the agent against what is rendered."""


class ReleaseError(Exception):
    """Why there is no release, in words for whoever makes it."""


def run(words: list[str | Path], folder: Path, **variables: str) -> str:
    """Return what a command prints; raises ``ReleaseError`` with its output where it fails."""
    done = subprocess.run(
        [str(word) for word in words],
        cwd=folder,
        env={**os.environ, **variables},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise ReleaseError(f"{' '.join(map(str, words))} failed:\n{done.stdout}")
    return done.stdout.strip()


def git(folder: Path, *words: str | Path, **variables: str) -> str:
    return run(["git", *words], folder, **variables)


class Release:
    """One version on top of one commit, made in a folder of its own."""

    def __init__(
        self, checkout: Path, version: str, folder: Path, environment: Path | None = None
    ) -> None:
        self.checkout = checkout
        self.version = version
        self.tag = f"v{version}"
        self.folder = folder
        self.clone = folder / "clone"
        self.dist = folder / "dist"
        self.environment = environment or folder / "environment"
        self.epoch = git(checkout, "show", "--no-patch", "--format=%ct", "HEAD")

    def check(self) -> None:
        """Refuse a checkout with changes, and a version that is none or not a new one."""
        if git(self.checkout, "status", "--porcelain"):
            raise ReleaseError("the checkout has changes: commit them first")
        held = read_version(self.checkout)
        try:
            is_back = Version(self.version) < Version(held)
        except InvalidVersion as error:
            raise ReleaseError(f"{self.version!r} is no version: {error}") from error
        if is_back or str(Version(self.version)) != self.version:
            raise ReleaseError(f"{self.version} is not a version after {held}, as pip writes it")
        if self.tag in git(self.checkout, "tag", "--list").split():
            raise ReleaseError(f"{self.tag} is there already")

    def write(self) -> str:
        """Make the commit and its tag in the clone; returns the list of changes."""
        git(self.folder, "clone", "--quiet", self.checkout, self.clone)
        git(self.clone, "checkout", "--quiet", "--detach", git(self.checkout, "rev-parse", "HEAD"))
        for key in ("user.name", "user.email"):
            if value := git(self.checkout, "config", "--default", "", key):
                git(self.clone, "config", key, value)
        changes = self._list_changes()
        write_version(self.clone, self.version)
        self._write_changes(changes)
        dates = {f"GIT_{who}_DATE": f"{self.epoch} +0000" for who in ("AUTHOR", "COMMITTER")}
        git(self.clone, "add", "--all")
        git(self.clone, "commit", "--quiet", "--message", f"Release {self.version}", **dates)
        message = f"{self.tag}\n\n{changes}"
        git(self.clone, "tag", "--annotate", "--message", message, self.tag, **dates)
        return changes

    def _list_changes(self) -> str:
        tags = git(self.clone, "tag", "--merged", "HEAD", "--sort=-creatordate", "--list", "v*")
        if not tags:
            return "- The first release."
        since = f"{tags.split()[0]}..HEAD"
        subjects = git(self.clone, "log", "--no-merges", "--format=- %s.", since)
        return subjects or "- Nothing but the version."

    def _write_changes(self, changes: str) -> None:
        file = self.clone / CHANGES
        file.parent.mkdir(exist_ok=True)
        older = file.read_text("utf-8").removeprefix(TITLE) if file.exists() else ""
        day = datetime.fromtimestamp(int(self.epoch), UTC).date()
        file.write_text(f"{TITLE}\n## {self.version}, {day}\n\n{changes}\n{older}", "utf-8")

    def judge(self) -> None:
        """Have the tests judge formula, packages and agent in the clone."""
        run([sys.executable, "Formula/requirements.py", "--check"], self.clone)
        run([sys.executable, "-m", "pytest", "-n0", "-q", *JUDGES], self.clone)

    def build(self) -> list[Path]:
        """Build twice in two folders, and the wheel from the sdist too; all must be the same."""
        self._make_environment()
        first = self._build(self.clone, self.dist)
        again = self.folder / "again"
        git(self.folder, "clone", "--quiet", "--branch", self.tag, self.clone, again)
        second = self._build(again, self.folder / "second")
        sdist = next(each for each in first if each.name.endswith(".tar.gz"))
        shutil.unpack_archive(sdist, self.folder / "unpacked", filter="data")
        (unpacked,) = (self.folder / "unpacked").iterdir()
        third = self._build(unpacked, self.folder / "third", "wheel")
        for one in [*second, *third]:
            if one.read_bytes() != (self.dist / one.name).read_bytes():
                raise ReleaseError(f"{one.name} is not the same when it is built again")
        return first

    def _build(self, source: Path, dist: Path, *targets: str) -> list[Path]:
        options = [word for target in targets for word in ("--target", target)]
        words = ["-m", "hatchling", "build", "--directory", dist, *options]
        run([self._program("python"), *words], source, SOURCE_DATE_EPOCH=self.epoch)
        return sorted(dist.iterdir())

    def install(self, files: list[Path]) -> None:
        """Install each alone in the environment, without a network, and start it."""
        for file in files:
            self._pip("install", "--no-index", "--no-deps", "--no-build-isolation", file)
            self._pip("check")
            told = run([self._program("mlxoss"), "--version"], self.folder)
            if told != f"mlxoss {self.version}":
                raise ReleaseError(f"{file.name} installs {told!r}")
            run([self._program("mlxoss"), "plist"], self.folder)
            self._pip("uninstall", "--yes", "mlxoss")

    def _make_environment(self) -> None:
        """An empty one, with the packages that the formula installs, hatchling among them."""
        run([sys.executable, "-m", "venv", self.environment], self.folder)
        packages = self.clone / "Formula" / "requirements.txt"
        pinned = ["--require-hashes", "--only-binary=:all:", f"--requirement={packages}"]
        self._pip("install", "--no-compile", *pinned)

    def _pip(self, *words: str | Path) -> None:
        run([self._program("python"), "-m", "pip", *words], self.folder)

    def _program(self, name: str) -> Path:
        return self.environment / "bin" / name

    def bring_back(self) -> None:
        """Put the commit on the checkout's branch and the tag beside it."""
        git(
            self.checkout,
            "fetch",
            "--quiet",
            self.clone,
            f"refs/tags/{self.tag}:refs/tags/{self.tag}",
        )
        git(self.checkout, "merge", "--quiet", "--ff-only", self.tag)


def read_version(checkout: Path) -> str:
    """Return the package's version; raises ``ReleaseError`` where the formula has another."""
    found = set()
    for file, pattern in VERSIONED.items():
        match = pattern.search((checkout / file).read_text("utf-8"))
        found.add(match[2] if match else "none")
    if len(found) != 1:
        raise ReleaseError(f"the versions differ: {', '.join(sorted(found))}")
    return found.pop()


def write_version(checkout: Path, version: str) -> None:
    for file, pattern in VERSIONED.items():
        text = (checkout / file).read_text("utf-8")
        (checkout / file).write_text(pattern.sub(rf"\g<1>{version}\g<3>", text), "utf-8")


def tell(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def make(release: Release, *, go: bool, dist: Path | None) -> None:
    """Make it, say what it is, and keep of it what was asked for."""
    release.check()
    tell(f"mlxoss {release.version}\n\n{release.write()}\n")
    release.judge()
    files = release.build()
    release.install(files)
    for name in ("HEAD", release.tag):
        tell(f"{git(release.clone, 'rev-parse', name)}  {name}")
    for file in files:
        tell(f"{hashlib.sha256(file.read_bytes()).hexdigest()}  {file.name}")
    if dist is not None:
        shutil.copytree(release.dist, dist, dirs_exist_ok=True)
    if go:
        release.bring_back()
        tell(f"\nThe commit and {release.tag} are here: git push --follow-tags publishes them.")
    else:
        tell("\nNothing was changed here: --go brings the commit and its tag.")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("version", help="the new version, like 0.2.0")
    parser.add_argument("--go", action="store_true", help="bring commit and tag into this checkout")
    parser.add_argument("--dist", type=Path, help="keep the wheel and the sdist in this folder")
    parser.add_argument(
        "--environment", type=Path, help="keep what was installed here, for the next try"
    )
    chosen = parser.parse_args()
    environment = chosen.environment and chosen.environment.absolute()
    with tempfile.TemporaryDirectory() as folder:
        try:
            release = Release(ROOT, chosen.version, Path(folder), environment)
            make(release, go=chosen.go, dist=chosen.dist)
        except ReleaseError as error:
            sys.exit(str(error))


if __name__ == "__main__":
    main()
