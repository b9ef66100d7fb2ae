#include "fs/views/index_page.h"

#include <fmt/format.h>

#include <array>
#include <ctime>
#include <iterator>

#include "store/base/text.h"

namespace ollamafs {
namespace {

// The policy lets the page load nothing at all: what is in it is all there is. Each row is a grid
// of its own, so that a browser lays out only those that are seen: a table of ten thousand takes
// seconds.
constexpr std::string_view kPageBeginning = R"html(<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>Models</title>
<style>
:root { color-scheme: light dark; --ink: #1b1f24; --paper: #fff; --dim: #59636e; --line: #d1d9e0; --link: #0969da; --bad: #b3261e; }
@media (prefers-color-scheme: dark) {
:root { --ink: #e6edf3; --paper: #0d1117; --dim: #9198a1; --line: #3d444d; --link: #6cb6ff; --bad: #ff8a80; }
}
body { margin: 1.5rem; font: 15px/1.45 system-ui, sans-serif; color: var(--ink); background: var(--paper); overflow-wrap: anywhere; }
a { color: var(--link); }
table, thead, tbody { display: block; font-size: 14px; }
thead { position: sticky; top: 0; background: var(--paper); }
tr { display: grid; grid-template-columns: minmax(12em, 2fr) 9em 7em 7.5em 9em 6em minmax(9em, 1fr) 5.5em 5.5em 5.5em 10em minmax(5em, 1fr) 6em minmax(16em, 3fr); border-bottom: 1px solid var(--line); }
tr[hidden] { display: none; }
tbody tr { content-visibility: auto; contain-intrinsic-size: auto 3.3rem; }
th, td { padding: .3rem .6rem; text-align: left; }
th button { font: inherit; font-weight: bold; color: inherit; background: none; border: 0; padding: 0; cursor: pointer; }
.n { text-align: right; white-space: nowrap; }
.bad { color: var(--bad); }
code { font-size: 12px; color: var(--dim); }
input { font: inherit; padding: .3rem .6rem; width: 20rem; max-width: 100%; box-sizing: border-box; }
@media (max-width: 1650px) {
tr { grid-template-columns: minmax(11em, 2fr) 9em 7em 7.5em 9em 6em minmax(9em, 1fr) 5.5em 5.5em 5.5em 10em minmax(5em, 1fr) 6em; }
th:last-child, td:last-child { grid-column: 1 / -1; }
}
@media (max-width: 1400px) {
thead { position: static; }
tr { grid-template-columns: repeat(auto-fill, minmax(9em, 1fr)); }
th:first-child, td:first-child { grid-column: 1 / -1; }
td:first-child { font-weight: bold; }
td.bad { grid-column: 1 / -1; }
.n { text-align: left; white-space: normal; }
td:nth-child(n+2):not(:nth-child(n+12))::before { display: block; font-size: 12px; color: var(--dim); }
td:nth-child(2)::before { content: "ID"; }
td:nth-child(3)::before { content: "Family"; }
td:nth-child(4)::before { content: "Parameters"; }
td:nth-child(5)::before { content: "Quantization"; }
td:nth-child(6)::before { content: "Context"; }
td:nth-child(7)::before { content: "License"; }
td:nth-child(8)::before { content: "Size"; }
td:nth-child(9)::before { content: "Own"; }
td:nth-child(10)::before { content: "Shared"; }
td:nth-child(11)::before { content: "Date (UTC)"; }
}
</style>
</head>
<body>
<h1>Models</h1>
)html";

constexpr std::string_view kPageTable =
    R"html(<p id="search" hidden><input type="search" placeholder="Search" aria-label="Search"> <span id="count"></span></p>
<table role="table">
<thead role="rowgroup"><tr role="row"><th role="columnheader">Name</th><th role="columnheader">ID</th><th role="columnheader">Family</th><th role="columnheader" class="n">Parameters</th><th role="columnheader">Quantization</th><th role="columnheader" class="n">Context</th><th role="columnheader">License</th><th role="columnheader" class="n">Size</th><th role="columnheader" class="n">Own</th><th role="columnheader" class="n">Shared</th><th role="columnheader" class="n">Date (UTC)</th><th role="columnheader">State</th><th role="columnheader">Open</th><th role="columnheader">Copy to another machine</th></tr></thead>
<tbody role="rowgroup">
)html";

constexpr std::string_view kPageEnd = R"html(</tbody>
</table>
<script>
"use strict";
(() => {
const body = document.querySelector("tbody");
const rows = Array.from(body.rows);
// What a row needs that only a script can give it. Of ten thousand rows the first come first, and
// the rest when the page can be seen.
const prepare = row => {
  row.setAttribute("role", "row");
  for (const cell of row.cells) cell.setAttribute("role", "cell");
  const code = row.querySelector("code");
  if (!code) return;
  const button = document.createElement("button");
  button.textContent = "Copy";
  code.after(" ", button);
};
const unprepared = rows.slice();
const prepareSome = () => {
  unprepared.splice(0, 200).forEach(prepare);
  if (unprepared.length > 0) setTimeout(prepareSome);
};
prepareSome();
const units = {K: 1e3, M: 1e6, B: 1e9, T: 1e12};
// "137M", "8x7B", "131072"; what is no number comes first.
const number = text => {
  const parts = /^(?:(\d+)x)?(\d+(?:\.\d+)?)([KMBT]?)/i.exec(text);
  return parts ? (parts[1] || 1) * parts[2] * (units[parts[3].toUpperCase()] || 1) : -1;
};
const value = (row, column) => {
  const cell = row.cells[column];
  if ("v" in cell.dataset) return Number(cell.dataset.v);
  const text = cell.textContent.trim();
  return cell.className === "n" ? number(text) : text;
};
const compare = (a, b) => typeof a === "number" ? a - b : a.localeCompare(b, undefined, {numeric: true});
let sorted = 0, direction = 1;
Array.from(document.querySelectorAll("th")).slice(0, 12).forEach((head, column) => {
  const button = document.createElement("button");
  button.textContent = head.textContent;
  head.replaceChildren(button);
  button.onclick = () => {
    direction = sorted === column ? -direction : 1;
    sorted = column;
    document.querySelectorAll("th").forEach(other => other.removeAttribute("aria-sort"));
    head.setAttribute("aria-sort", direction > 0 ? "ascending" : "descending");
    rows.sort((a, b) => direction * compare(value(a, column), value(b, column)));
    body.append(...rows);
  };
});
const search = document.getElementById("search");
const field = search.querySelector("input");
const tell = count => {
  document.getElementById("count").textContent = count + " of " + rows.length;
};
const texts = new Map();
const text = row => {
  if (!texts.has(row))
    texts.set(row, [0, 1, 2, 3, 4, 5, 6, 10, 11].map(i => row.cells[i].textContent).join(" ").toLowerCase());
  return texts.get(row);
};
field.oninput = () => {
  const words = field.value.toLowerCase().split(/\s+/);
  for (const row of rows) row.hidden = !words.every(word => text(row).includes(word));
  tell(rows.filter(row => !row.hidden).length);
};
search.hidden = false;
tell(rows.length);
const copy = async code => {
  try {
    await navigator.clipboard.writeText(code.textContent);
  } catch {
    getSelection().selectAllChildren(code);
    document.execCommand("copy");
  }
};
body.onclick = async event => {
  const button = event.target;
  if (button.tagName !== "BUTTON") return;
  await copy(button.parentElement.querySelector("code"));
  button.textContent = "Copied";
  setTimeout(() => { button.textContent = "Copy"; }, 1500);
};
})();
</script>
</body>
</html>
)html";

// As `ollama list` has it, in decimal units.
std::string size_text(double bytes) {
  static constexpr std::array<const char*, 7> units = {"B", "kB", "MB", "GB", "TB", "PB", "EB"};
  std::size_t unit = 0;
  for (; bytes >= 999.5 && unit + 1 < units.size(); ++unit) bytes /= 1000;
  return fmt::format("{:.{}f} {}", bytes, unit > 0 && bytes < 9.95 ? 1 : 0, units[unit]);
}

std::string date_text(std::int64_t seconds) {
  const auto time = static_cast<std::time_t>(seconds);
  std::tm parts{};
  if (seconds == 0 || !::gmtime_r(&time, &parts)) return "-";
  return fmt::format("{:04}-{:02}-{:02} {:02}:{:02}", parts.tm_year + 1900LL, parts.tm_mon + 1,
                     parts.tm_mday, parts.tm_hour, parts.tm_min);
}

// Sorted by the number, which the text only rounds.
template <class Number>
void append_number(std::string& page, Number number, const std::string& text) {
  fmt::format_to(std::back_inserter(page), R"(<td class="n" data-v="{}">{}</td>)", number, text);
}

void append_text(std::string& page, std::string_view text, std::size_t width) {
  page += "<td>" + html_cell(text, width) + "</td>";
}

// The script takes it for a number.
void append_count(std::string& page, std::string_view text, std::size_t width) {
  page += "<td class=\"n\">" + html_cell(text, width) + "</td>";
}

// What is in blobs: always as wide.
void append_summary(std::string& page, const IndexRow& row) {
  constexpr std::size_t word = 16, number = 10, line = 48;
  append_text(page, row.family, word);
  append_count(page, row.parameters, number);
  append_text(page, row.quantization, word);
  append_count(page, row.context, number);
  append_text(page, row.license, line);
}

void append_links(std::string& page, const IndexRow& row) {
  page += "<td>";
  if (!row.archive.empty()) page += "<a href=\"" + link_to(row.archive) + "\">archive</a> ";
  if (!row.contents.empty()) page += "<a href=\"" + link_to(row.contents) + "\">contents</a>";
  page += "</td><td>";
  if (!row.command.empty()) page += "<code>" + html_text(row.command) + "</code>";
  page += "</td>";
}

void append_row(std::string& page, const IndexRow& row) {
  page += "<tr><td>" + html_text(row.name) + "</td><td>" + html_text(row.id) + "</td>";
  append_summary(page, row);
  append_number(page, row.size, size_text(static_cast<double>(row.size)));
  append_number(page, row.own, size_text(static_cast<double>(row.own)));
  append_number(page, row.shared, size_text(static_cast<double>(row.shared)));
  append_number(page, row.mtime, date_text(row.mtime));
  page += row.fault.empty() ? "<td>whole</td>"
                            : "<td class=\"bad\">broken: " + html_text(row.fault) + "</td>";
  append_links(page, row);
  page += "</tr>\n";
}

}  // namespace

std::string html_text(std::string_view text) {
  std::string html;
  html.reserve(text.size());
  for (const char c : without_controls(text)) {
    switch (c) {
      case '&':
        html += "&amp;";
        break;
      case '<':
        html += "&lt;";
        break;
      case '>':
        html += "&gt;";
        break;
      case '"':
        html += "&quot;";
        break;
      case '\'':
        html += "&#39;";
        break;
      default:
        html += c;
    }
  }
  return html;
}

// Neither within a character nor within what stands for one.
std::string html_cell(std::string_view text, std::size_t width) {
  constexpr std::string_view ellipsis = "…";
  const std::string plain = without_controls(text);
  std::string cell;
  std::size_t cut = 0;  // where the ellipsis still has room
  for (std::size_t at = 0; at < plain.size() && cell.size() <= width;) {
    const std::size_t bytes = first_code_point(std::string_view{plain}.substr(at)).bytes;
    cell += html_text(std::string_view{plain}.substr(at, bytes));
    at += bytes;
    if (cell.size() + ellipsis.size() <= width) cut = cell.size();
  }
  if (cell.size() > width) cell.replace(cut, cell.npos, ellipsis);
  cell.resize(width, ' ');
  return cell;
}

std::string link_to(std::string_view path) {
  constexpr std::string_view plain = "-._~/";
  std::string link;
  link.reserve(path.size());
  for (const char c : path) {
    const bool is_alphanumeric =
        (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
    if (is_alphanumeric || plain.find(c) != plain.npos) {
      link += c;
    } else {
      link += fmt::format("%{:02X}", static_cast<unsigned char>(c));
    }
  }
  return link;
}

std::string index_page(std::string_view store, std::span<const IndexRow> rows) {
  constexpr std::size_t row_size = 800;
  std::string page{kPageBeginning};
  page.reserve(kPageBeginning.size() + kPageTable.size() + kPageEnd.size() +
               rows.size() * row_size);
  page += "<p>" + std::to_string(rows.size()) + (rows.size() == 1 ? " model" : " models") +
          " of the Ollama store <b>" + html_text(store) +
          "</b>. More commands are in <a href=\"README.txt\">README.txt</a>.</p>\n";
  page += kPageTable;
  for (const IndexRow& row : rows) append_row(page, row);
  return page += kPageEnd;
}

}  // namespace ollamafs
