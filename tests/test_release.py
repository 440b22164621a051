"""``python -m tests.release``: what it refuses, what it writes, and the same bytes twice."""

from __future__ import annotations

import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.release import CHANGES, ROOT, VERSIONED, Release, ReleaseError, git, read_version

DATE = "1700000000 +0000"


def commit(checkout: Path, subject: str) -> None:
    dates = {"GIT_AUTHOR_DATE": DATE, "GIT_COMMITTER_DATE": DATE}
    git(checkout, "add", "--all")
    words = ("commit", "--quiet", "--allow-empty", "--no-verify", "--message", subject)
    git(checkout, *words, **dates)


def sign(checkout: Path) -> None:
    """Say who commits there."""
    git(checkout, "config", "user.name", "A")
    git(checkout, "config", "user.email", "a@example.org")


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A project of nothing but the files that hold the version, which is 0.1.0."""
    made = tmp_path / "checkout"
    for file in VERSIONED:
        (made / file).parent.mkdir(parents=True, exist_ok=True)
        (made / file).write_text((ROOT / file).read_text("utf-8"), "utf-8")
        text = (made / file).read_text("utf-8")
        (made / file).write_text(text.replace(read_version(ROOT), "0.1.0"), "utf-8")
    git(made, "init", "--quiet", "--initial-branch", "main")
    sign(made)
    commit(made, "Begin")
    return made


def prepare(checkout: Path, folder: Path, version: str) -> Release:
    folder.mkdir()
    release = Release(checkout, version, folder)
    release.check()
    return release


def refusal(checkout: Path, version: str) -> str:
    with pytest.raises(ReleaseError) as caught:
        Release(checkout, version, checkout).check()
    return str(caught.value)


def test_what_is_no_next_version_is_refused(checkout: Path) -> None:
    assert "is no version" in refusal(checkout, "two")
    assert "not a version after 0.1.0" in refusal(checkout, "0.0.9")
    assert "not a version after 0.1.0" in refusal(checkout, "0.2.00")
    git(checkout, "tag", "v0.2.0")
    assert refusal(checkout, "0.2.0") == "v0.2.0 is there already"


def test_a_checkout_with_changes_is_refused(checkout: Path) -> None:
    (checkout / "new").touch()
    assert "has changes" in refusal(checkout, "0.2.0")


def test_two_versions_in_one_checkout_are_refused(checkout: Path) -> None:
    file = checkout / "Formula/mlxoss.rb"
    file.write_text(file.read_text("utf-8").replace("0.1.0", "0.1.1"), "utf-8")
    commit(checkout, "Forget the package")
    assert refusal(checkout, "0.2.0") == "the versions differ: 0.1.0, 0.1.1"


def test_the_first_release_may_have_the_version_that_stands_there(
    checkout: Path, tmp_path: Path
) -> None:
    release = prepare(checkout, tmp_path / "first", "0.1.0")
    assert release.write() == "- The first release."
    assert "## 0.1.0, 2023-11-14\n\n- The first release.\n" in (release.clone / CHANGES).read_text()


def test_it_lists_what_changed_since_the_last_one(checkout: Path, tmp_path: Path) -> None:
    first = prepare(checkout, tmp_path / "first", "0.1.0")
    first.write()
    first.bring_back()
    commit(checkout, "Answer sooner")
    commit(checkout, "Forget less")
    second = prepare(checkout, tmp_path / "second", "0.2.0")
    assert second.write() == "- Forget less.\n- Answer sooner."
    assert git(checkout, "tag", "--list") == "v0.1.0"
    second.bring_back()
    assert read_version(checkout) == "0.2.0"
    assert git(checkout, "status", "--porcelain") == ""
    assert git(checkout, "show", "--no-patch", "--format=%s %D") == (
        "Release 0.2.0 HEAD -> main, tag: v0.2.0"
    )
    assert "Forget less" in git(checkout, "tag", "--list", "--format=%(contents)", "v0.2.0")
    headings = re.findall(r"^## ([\d.]+)", (checkout / CHANGES).read_text(), re.MULTILINE)
    assert headings == ["0.2.0", "0.1.0"]


def test_who_makes_it_again_makes_the_same_commit_and_tag(checkout: Path, tmp_path: Path) -> None:
    made = []
    for name in ("one", "two"):
        release = prepare(checkout, tmp_path / name, "0.2.0")
        release.write()
        made.append([git(release.clone, "rev-parse", each) for each in ("HEAD", "v0.2.0")])
    assert made[0] == made[1]


def make_release(checkout: Path, dist: Path, *words: str) -> str:
    kept = ["--dist", str(dist), "--environment", str(dist.parent / "environment")]
    done = subprocess.run(
        [sys.executable, "-m", "tests.release", "99.0", *kept, *words],
        cwd=checkout,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
def test_a_release_made_twice_is_the_same_to_the_byte(tmp_path: Path) -> None:
    checkout = tmp_path / "checkout"
    if not (ROOT / ".git").exists():
        pytest.skip("this is no checkout")
    git(tmp_path, "clone", "--quiet", ROOT, checkout)
    git(checkout, "checkout", "--quiet", "-B", "main")
    sign(checkout)
    before = git(checkout, "rev-parse", "HEAD")

    dry = make_release(checkout, tmp_path / "dry")
    assert "Nothing was changed here" in dry
    assert git(checkout, "rev-parse", "HEAD") == before
    assert "v99.0" not in git(checkout, "tag", "--list")

    meant = make_release(checkout, tmp_path / "meant", "--go")
    made = {each.name: each.read_bytes() for each in (tmp_path / "meant").iterdir()}
    assert made == {each.name: each.read_bytes() for each in (tmp_path / "dry").iterdir()}
    assert made.keys() == {"mlxoss-99.0-py3-none-any.whl", "mlxoss-99.0.tar.gz"}
    assert git(checkout, "rev-parse", "HEAD") in dry
    assert git(checkout, "rev-parse", "v99.0") in dry
    assert meant.splitlines()[:-1] == dry.splitlines()[:-1]
    assert read_version(checkout) == "99.0"
    with zipfile.ZipFile(tmp_path / "meant/mlxoss-99.0-py3-none-any.whl") as wheel:
        assert not [name for name in wheel.namelist() if not name.startswith("mlxoss")]
