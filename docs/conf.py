"""Sphinx: the pages as they stand in the repository, and players for the sounds of the first. `make docs` runs it."""

from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.transforms import SphinxTransform

project = html_title = "wavevae"
extensions = ["myst_parser"]
root_doc = FIRST = "docs/index"
include_patterns = ["README.md", "CHANGELOG.md", "docs/**.md"]
exclude_patterns = [folder.name for folder in Path(__file__).parents[1].iterdir() if folder.is_dir()]
exclude_patterns.remove("docs")
source_suffix = {".md": "markdown"}
myst_heading_anchors = 3
highlight_language = "none"

html_theme = "furo"
html_static_path = ["site", "sounds"]
html_css_files = ["site.css"]
html_copy_source = html_show_sphinx = html_show_copyright = html_show_search_summary = False
pygments_style = pygments_dark_style = "native"
STAGE = {
    "color-background-primary": "#0b0d11",
    "color-background-secondary": "#13171d",
    "color-background-hover": "#1c222b",
    "color-background-border": "#262d38",
    "color-foreground-primary": "#e9edf3",
    "color-foreground-secondary": "#a9b5c5",
    "color-foreground-muted": "#93a0b2",
    "color-foreground-border": "#4a5566",
    "color-brand-primary": "#ffb454",
    "color-brand-content": "#5cc8ff",
    "color-brand-visited": "#5cc8ff",
    "color-code-background": "#13171d",
    "color-code-foreground": "#e9edf3",
    "color-inline-code-background": "#1c222b",
    "color-table-header-background": "#1c222b",
    "color-table-border": "#262d38",
    "color-highlight-on-target": "#2d4054",
}
html_theme_options = {"light_css_variables": STAGE, "dark_css_variables": STAGE}

CONTENTS = """
```{toctree}
:hidden:

README
install
training
playing
hosts
evaluation
python
troubleshooting
how-it-works
results
CHANGELOG
lab/README
```
"""
NOTES = "\n```{toctree}\n:hidden:\n:glob:\n\n*\n```\n"
REDIRECT = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>wavevae</title><meta http-equiv="refresh" content="0; url=docs/index.html">
<a href="docs/index.html">wavevae</a></html>
"""


def add_contents(app: Sphinx, page: str, source: list[str]) -> None:
    """The order of the pages, which a forge does not need."""
    outside = {
        "README": "Overview </README>",
        "CHANGELOG": "Changes </CHANGELOG>",
        "lab/README": "Laboratory notes <lab/README>",
    }
    if page == FIRST:
        source[0] += "\n".join(outside.get(line, line) for line in CONTENTS.splitlines())
    elif page == "docs/lab/README":
        source[0] += NOTES


class Links(SphinxTransform):
    """Replaces each link to a sound by its name, its spectrogram and a player; a link to a folder, which a site
    does not have, by its text."""

    default_priority = 500

    def apply(self, **kwargs: Any) -> None:
        here = Path(self.document["source"]).parent
        for link in list(self.document.findall(addnodes.pending_xref)):
            if (here / link["reftarget"]).is_dir():
                link.replace_self(link.children)
        for link in list(self.document.findall(addnodes.download_reference)):
            if link["reftarget"].endswith(".mp3"):
                self.play(link)

    def play(self, link: nodes.Element) -> None:
        """A card of the list item that holds the link."""
        sound, title, item = Path(link["reftarget"]), link.astext(), link.parent.parent
        player = (
            f'<audio controls preload="metadata" src="../_static/{sound.name}" aria-label="{title}"></audio>'
        )
        link.replace_self(nodes.strong(text=title))
        item += nodes.image(uri=str(sound.with_suffix(".png")), alt=f"Spectrogram: {title}")
        item += nodes.raw(text=player, format="html")
        item["classes"].append("sound")


def redirect(app: Sphinx, error: Exception | None) -> None:
    """The folder itself leads to the first page."""
    if error is None:
        (Path(app.outdir) / "index.html").write_text(REDIRECT, encoding="utf-8")


def setup(app: Sphinx) -> None:
    app.connect("source-read", add_contents)
    app.connect("build-finished", redirect)
    app.add_transform(Links)
