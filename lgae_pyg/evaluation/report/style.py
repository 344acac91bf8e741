"""The look of the page: dark on white, tables that scroll by themselves, fit for a phone and for paper."""

STYLE = """
:root { --ink: #1b1f24; --faint: #57606a; --line: #d0d7de; --accent: #0072b2; }
* { box-sizing: border-box; }
body { margin: 0; background: #fff; color: var(--ink); font: 16px/1.5 system-ui, sans-serif; }
main { max-width: 1400px; margin: 0 auto; padding: 1rem; }
h1 { font-size: 1.7rem; margin: .5rem 0; }
h2 { font-size: 1.3rem; margin: 1.5rem 0 .5rem; }
h3 { font-size: 1.05rem; margin: 1.3rem 0 .4rem; }
summary { cursor: pointer; }
summary h2 { display: inline; }
small { color: var(--faint); font-weight: normal; }
a { color: var(--accent); }
nav ul { columns: 22rem; padding-left: 1.2rem; margin: 0; }
.note, .caption { color: var(--faint); font-size: .85rem; max-width: 75rem; }
.missing { border-left: 3px solid #d55e00; padding-left: .6rem; }
.wide { overflow-x: auto; border: 1px solid var(--line); border-radius: 4px; }
table { border-collapse: collapse; font-size: .82rem; font-variant-numeric: tabular-nums; width: max-content;
  min-width: 100%; }
th, td { padding: .3rem .55rem; border-bottom: 1px solid var(--line); text-align: left; white-space: nowrap; }
thead th { background: #f6f8fa; }
th[scope=row] { font-weight: 600; position: sticky; left: 0; background: #fff;
  border-right: 1px solid var(--line); }
thead th:first-child { position: sticky; left: 0; z-index: 1; border-right: 1px solid var(--line); }
.number { text-align: right; }
.about { width: 100%; } .about td { white-space: normal; overflow-wrap: anywhere; }
figure { margin: .8rem 0; } img { max-width: 100%; height: auto; }
pre { overflow-x: auto; background: #f6f8fa; padding: .6rem; font-size: .8rem; }
section > details { border-top: 1px solid var(--line); padding-top: .6rem; margin-top: 1rem; }
@media screen and (max-width: 600px) {
  figure { overflow-x: auto; } img { max-width: none; width: 46rem; }
  main { padding: .6rem; } nav ul { columns: 1; }
  th[scope=row], thead th:first-child { max-width: 9.5rem; white-space: normal; }
}
@media print { .wide { overflow: visible; border: 0; } table { font-size: .6rem; } details { display: block; }
  details::details-content { content-visibility: visible; display: block; } }
"""
