"""The page that people decide from: `report/index.html`, one file that needs no network.

Python builds plain data, Vega-Lite draws it, and the same data and specifications serve twice: in
the browser, where the reader's needs filter them, and as static pictures for print and for readers
without JavaScript.

- `runs`: every point of the grid with all that a reader may ask of it, in the units of `axes`
- `axes`: what a chart can be drawn over: its title, unit, scale and which end is better
- `looks`: one colour and one shape for each method, everywhere on the page
- `figures`: one chart for each data set: its rows, its title in words, its specification
- `charts`: specifications filled in, the browser's bundle, static pictures
- `learning`, `volume`, `pairs`, `serving`: the rows and titles of their charts
- `failures`: kinds of error, confusion, reliability; `explorer`: test rows to read
- `beside`: published numbers beside measured ones
- `tables`: the tables of `metrics/tables/`
- `making`: settings, versions, device and commands of each run; files to download
- `content`: all of it, for the template and for the scripts; `writing`: as HTML

`specs/*.vl.json` are Vega-Lite with `"<name>"` where a value of the data set goes, as DVC's plot
templates have it. Data has fixed field names; labels, methods and texts are values only, so none of
them is ever part of an expression. `page.html.jinja` holds the sections in their order, `partials`
one file for each; `style.css` and `scripts` are the page's own. The scripts, put together, know
what the reader has chosen (`state`, which is the address), which runs meet it (`needs`), and draw
(`charts`, `run`, `rows`, `tables`, `view`).
"""

from tunebench.report.page.content import Parts
from tunebench.report.page.writing import write

__all__ = ["Parts", "write"]
