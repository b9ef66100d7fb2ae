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
body { margin: 1.5rem; font: 15px/1.45 system-ui, sans-serif; color: var(--ink); background: var(--paper); }
a { color: var(--link); }
table, thead, tbody { display: block; }
thead { position: sticky; top: 0; background: var(--paper); }
tr { display: grid; grid-template-columns: minmax(12rem, 2fr) 8rem 5rem 5rem 5rem 9.5rem minmax(5rem, 1fr) 5.5rem minmax(16rem, 3fr); border-bottom: 1px solid var(--line); }
tr[hidden] { display: none; }
tbody tr { content-visibility: auto; contain-intrinsic-size: auto 3.3rem; }
th, td { padding: .3rem .6rem; text-align: left; overflow-wrap: anywhere; }
th button { font: inherit; font-weight: bold; color: inherit; background: none; border: 0; padding: 0; cursor: pointer; }
.n { text-align: right; white-space: nowrap; }
.bad { color: var(--bad); }
code { font-size: 12px; color: var(--dim); overflow-wrap: anywhere; }
input { font: inherit; padding: .3rem .6rem; width: 20rem; max-width: 100%; }
</style>
</head>
<body>
<h1>Models</h1>
)html";

constexpr std::string_view kPageTable =
    R"html(<p id="search" hidden><input type="search" placeholder="Search" aria-label="Search"> <span id="count"></span></p>
<table>
<thead><tr><th>Name</th><th>ID</th><th class="n">Size</th><th class="n">Own</th><th class="n">Shared</th><th>Date (UTC)</th><th>State</th><th>Open</th><th>Copy to another machine</th></tr></thead>
<tbody>
)html";

constexpr std::string_view kPageEnd = R"html(</tbody>
</table>
<script>
"use strict";
(() => {
const body = document.querySelector("tbody");
const rows = Array.from(body.rows);
const value = (row, column) => {
  const cell = row.cells[column];
  return "v" in cell.dataset ? Number(cell.dataset.v) : cell.textContent;
};
const compare = (a, b) => typeof a === "number" ? a - b : a.localeCompare(b, undefined, {numeric: true});
let sorted = 0, direction = 1;
Array.from(document.querySelectorAll("th")).slice(0, 7).forEach((head, column) => {
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
const find = () => {
  const words = field.value.toLowerCase().split(/\s+/);
  let count = 0;
  for (const row of rows) {
    const text = [0, 1, 6].map(i => row.cells[i].textContent).join(" ").toLowerCase();
    row.hidden = !words.every(word => text.includes(word));
    if (!row.hidden) ++count;
  }
  document.getElementById("count").textContent = count + " of " + rows.length;
};
field.oninput = find;
search.hidden = false;
find();
for (const code of body.querySelectorAll("code")) {
  const button = document.createElement("button");
  button.textContent = "Copy";
  code.after(" ", button);
}
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
  constexpr std::size_t row_size = 600;
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
