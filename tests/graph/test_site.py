"""The docs site's pages; that its links lead somewhere is for `make docs` to say."""

import re
import subprocess
import sys
from pathlib import Path

from tests.support.imports import ROOT

PAGES = sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / "docs").glob("*.md"))


def test_every_page_of_docs_is_in_the_navigation_once() -> None:
    _, _, navigation = (ROOT / "mkdocs.yml").read_text(encoding="utf-8").partition("\nnav:\n")
    named = re.findall(r": (\S+\.md)$", navigation, re.MULTILINE)
    assert sorted(name for name in named if name.startswith("docs/")) == PAGES
    assert all((ROOT / name).is_file() for name in named)


def test_pages_lie_where_they_lie_in_the_repository(tmp_path: Path) -> None:
    """With what they link to, and anew each time."""
    (tmp_path / "pages").mkdir()
    (tmp_path / "pages/old.md").write_text("gone")
    subprocess.run([sys.executable, "-m", "tools.pages", str(tmp_path / "pages")], cwd=ROOT, check=True)
    for name in [
        *PAGES,
        "docs/site.css",
        "README.md",
        "papers/README.md",
        "papers/moclip_lite.yaml",
        "reports/summary.json",
    ]:
        assert (tmp_path / "pages" / name).read_bytes() == (ROOT / name).read_bytes()
    assert not (tmp_path / "pages/old.md").exists()


def test_the_api_names_what_is_there() -> None:
    """Modules and their members, read as text: the site is built without moclip's libraries."""
    page = (ROOT / "docs/api.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^::: (\S+)\n(?:    options: \{members: \[(.*)\]\}\n)?", page, re.MULTILINE)
    assert len(blocks) > 5
    for module, members in blocks:
        source = (ROOT / f"{module.replace('.', '/')}.py").read_text(encoding="utf-8")
        for member in filter(None, members.split(", ")):
            assert re.search(rf"^(class|def) {member}\b", source, re.MULTILINE), f"{module}.{member}"
