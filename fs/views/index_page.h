#pragma once

// Room fs/views: Which directories and files a catalog is shown as.

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace ollamafs {

// What index.html says of a model. Texts are as they are in the store: any bytes.
struct IndexRow {
  std::string name{};        // as `ollama list` shows it
  std::string id{};          // likewise
  std::string family{};      // these five are in its blobs; empty: they do not say, or are not read
  std::string parameters{};  // "3.2B"
  std::string quantization{};  // "Q4_K_M"
  std::string context{};       // a number
  std::string license{};       // one line
  std::int64_t size = 0;       // bytes; as `ollama list` shows it
  std::uint64_t own = 0;       // bytes of blobs that no other model names
  std::uint64_t shared = 0;    // of those that others name too
  std::int64_t mtime = 0;      // of its manifest, seconds
  std::string fault{};         // why it is broken; empty: it is whole
  std::string archive{};       // path in the mount, not encoded; empty: no link
  std::string contents{};      // likewise
  std::string command{};       // that copies it to another machine; empty: none
};

// index.html: all models on one page, which needs no network and no other file. Without scripts it
// is a table that can be read; a script makes it one that can be searched and sorted, with buttons
// that copy the commands. `store` is the path of the store. The page has as many bytes whatever the
// rows have from blobs, so that its size can be told without them.
[[nodiscard]] std::string index_page(std::string_view store, std::span<const IndexRow> rows);

// `text` for HTML, between tags or in an attribute with quotes of either kind. What is no UTF-8 or
// a control character is written as printable() has it.
[[nodiscard]] std::string html_text(std::string_view text);

// The same of a text of one line in `width` bytes, at least 3: a longer one is cut, a shorter one
// has blanks behind it.
[[nodiscard]] std::string html_cell(std::string_view text, std::size_t width);

// A path as a relative link, percent-encoded but for its slashes. It must have a slash, so that no
// colon in it ends a scheme.
[[nodiscard]] std::string link_to(std::string_view path);

}  // namespace ollamafs
