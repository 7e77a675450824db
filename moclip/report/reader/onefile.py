"""The report as one HTML file to send: pictures inside, the cards behind it, nothing fetched from anywhere."""

import base64
import html
import re
from collections.abc import Sequence
from pathlib import Path

from markdown_it import MarkdownIt

from moclip.base.errors import StoreError

_TYPES = {".svg": "image/svg+xml", ".png": "image/png"}
_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 64rem; margin: 2rem auto; padding: 0 1rem }
body { color: #1b1b1b; background: #fff }
table { border-collapse: collapse; display: block; overflow-x: auto; margin: 1rem 0 }
th, td { border: 1px solid #ccc; padding: .3rem .6rem; vertical-align: top }
img { max-width: 100% } code { background: #f3f3f3; padding: 0 .2em } summary { cursor: pointer }
article + article { border-top: 3px solid #ccc; margin-top: 3rem }
"""
# No script, no request: what is inside is all that is shown, whatever a name in it says.
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


def one_file(pages: Sequence[Path]) -> str:
    """Pages of Markdown as one HTML document.

    Args:
        pages: The first one gives the title; the others follow, and links to them lead there. Links to other files of
            the repository become plain words, since those do not come along.

    Raises:
        StoreError: a page is missing, or shows a picture that is missing or of a kind that no page of moclip has.
    """
    texts = [_read(page) for page in pages]
    names = {page.name for page in pages}
    articles = "\n".join(
        f'<article id="{html.escape(page.name)}">\n{_article(text, page.parent, names)}</article>'
        for page, text in zip(pages, texts, strict=True)
    )
    return document(texts[0].partition("\n")[0].lstrip("# "), articles)


def document(title: str, body: str, style: str = "") -> str:
    """An HTML document that runs and fetches nothing; `title` is plain text, `body` HTML and `style` CSS."""
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        f"<title>{html.escape(title)}</title>\n<style>{_STYLE}{style}</style>\n</head>\n<body>\n{body}\n</body>\n</html>\n"
    )


def _read(page: Path) -> str:
    try:
        return page.read_text(encoding="utf-8")
    except OSError as error:
        raise StoreError(f"{page}: cannot be read ({error.strerror}); run `dvc repro` to make it") from error


def _article(text: str, folder: Path, names: set[str]) -> str:
    # The pages' own tags (`details`, `br`) are HTML; names in them are escaped where they are written.
    body = str(MarkdownIt("commonmark", {"html": True}).enable("table").render(text))
    body = re.sub(r'src="([^"]*)"', lambda found: f'src="{_inside(folder / html.unescape(found[1]))}"', body)
    return re.sub(r'<a href="(?!https?:)([^"]*)">(.*?)</a>', lambda found: _link(found[1], found[2], names), body)


def _link(target: str, words: str, names: set[str]) -> str:
    return f'<a href="#{target}">{words}</a>' if target in names else words


def _inside(picture: Path) -> str:
    kind = _TYPES.get(picture.suffix)
    if kind is None:
        raise StoreError(f"{picture}: no picture of a report ({', '.join(_TYPES)}); run `dvc repro report`")
    try:
        data = picture.read_bytes()
    except OSError as error:
        raise StoreError(f"{picture}: cannot be read ({error.strerror}); run `dvc repro` to make it") from error
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"
