// ModelName: what people type and what paths say, against the grammar of docs/store-format.md §2.
#include <algorithm>
#include <array>
#include <cctype>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "store/model/model_name.h"
#include "tests/fuzz/check.h"

namespace ollamafs::test {
namespace {

using Parts = std::array<std::string, 4>;  // host, namespace, model, tag

constexpr std::string_view kWord =
    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_";

bool in_grammar(const std::string& part, std::size_t max, const std::string& more) {
  return !part.empty() && part.size() <= max && kWord.find(part[0]) != std::string_view::npos &&
         part.find_first_not_of(std::string{kWord} + more) == std::string::npos;
}

bool in_grammar(const Parts& parts) {
  return in_grammar(parts[0], 350, "-.:") && in_grammar(parts[1], 80, "-") &&
         in_grammar(parts[2], 80, "-.") && in_grammar(parts[3], 80, "-.");
}

std::string folded(std::string text) {
  std::ranges::transform(text, text.begin(), [](char c) {
    return static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  });
  return text;
}

std::vector<std::string> split(std::string_view text, char separator) {
  std::vector<std::string> parts;
  for (;;) {
    const std::size_t at = text.find(separator);
    parts.emplace_back(text.substr(0, at));
    if (at == std::string_view::npos) return parts;
    text.remove_prefix(at + 1);
  }
}

std::string replaced(std::string_view text, std::string_view from, std::string_view to) {
  std::string out;
  std::size_t done = 0;
  for (std::size_t at = 0; (at = text.find(from, done)) != std::string_view::npos;) {
    out += text.substr(done, at - done);
    out += to;
    done = at + from.size();
  }
  return out += text.substr(done);
}

// What people type, read from the left: all but the last two components are the host.
Parts typed_parts(std::string_view text) {
  std::vector<std::string> components = split(text, '/');
  Parts parts{"registry.ollama.ai", "library", components.back(), "latest"};
  if (const std::size_t colon = parts[2].rfind(':'); colon != std::string::npos) {
    parts[3] = parts[2].substr(colon + 1);
    parts[2].resize(colon);
  }
  components.pop_back();
  if (components.empty()) return parts;
  parts[1] = components.back();
  components.pop_back();
  if (components.empty()) return parts;
  parts[0] = components[0];
  for (std::size_t i = 1; i < components.size(); ++i) parts[0] += "/" + components[i];
  if (const std::size_t scheme = parts[0].find("://"); scheme != std::string::npos) {
    parts[0].erase(0, scheme + 3);
  }
  return parts;
}

// What a path below manifests-v2/ stands for (docs/store-format.md §3.2).
Parts decoded_v2_parts(Parts parts) {
  const std::string host = folded(parts[0]);
  if (host == "ollama.com" || host == "registry.ollama.ai") {
    parts[0] = "registry.ollama.ai";
  } else {
    parts[0] = replaced(replaced(parts[0], "%3A", ":"), "%3a", ":");
  }
  return parts;
}

Parts parts_of(const ModelName& name) {
  return {name.host(), name.name_space(), name.model(), name.tag()};
}

Parts components_of(const std::string& path) {
  const std::vector<std::string> components = split(path, '/');
  OLLAMAFS_CHECK_FOR(components.size() == 4, path);
  for (const std::string& component : components) {
    // Nothing that leads up, is hidden or looks like an option.
    OLLAMAFS_CHECK_FOR(!component.empty() && component[0] != '.' && component[0] != '-', path);
  }
  return {components[0], components[1], components[2], components[3]};
}

void check_view_name(const std::string& displayed) {
  const std::string shown = view_name(displayed);
  OLLAMAFS_CHECK_FOR(shown.find_first_of(":\\*?\"<>|") == std::string::npos, shown);
  OLLAMAFS_CHECK_FOR(std::ranges::count(shown, '+') == 1, shown);
  const std::string last = shown.substr(shown.rfind('/') + 1);
  OLLAMAFS_CHECK_FOR(last.find('+') != std::string::npos, shown);
  OLLAMAFS_CHECK_FOR(replaced(replaced(shown, "+", ":"), "%3A", ":") == displayed, shown);
}

void check_name(const ModelName& name) {
  const Parts parts = parts_of(name);
  OLLAMAFS_CHECK(in_grammar(parts));
  const bool is_public =
      folded(parts[0]) == "registry.ollama.ai" || folded(parts[0]) == "ollama.com";
  OLLAMAFS_CHECK(name.is_public() == is_public);

  // As Ollama writes it to disk and reads it back.
  const Parts v1 = components_of(name.v1_path());
  OLLAMAFS_CHECK(v1 == parts);
  const Parts v2 = components_of(name.v2_path());
  OLLAMAFS_CHECK(v2[0].find(':') == std::string::npos);
  OLLAMAFS_CHECK(v2[0] == "ollama.com" || !is_public);
  const auto from_v2 = ModelName::from_v2_parts(v2[0], v2[1], v2[2], v2[3]);
  OLLAMAFS_CHECK_FOR(from_v2.has_value(), name.v2_path());
  OLLAMAFS_CHECK(from_v2->v2_path() == name.v2_path());
  OLLAMAFS_CHECK(from_v2->logical_name() == name.logical_name());
  if (is_public) OLLAMAFS_CHECK(from_v2->host() == "registry.ollama.ai");
  if (!is_public) OLLAMAFS_CHECK(*from_v2 == name);

  // As people see it and type it back.
  OLLAMAFS_CHECK(name.full() == parts[0] + "/" + parts[1] + "/" + parts[2] + ":" + parts[3]);
  OLLAMAFS_CHECK_FOR(ModelName::parse(name.full()) == name, name.full());
  const auto from_display = ModelName::parse(name.display());
  OLLAMAFS_CHECK_FOR(from_display.has_value(), name.display());
  OLLAMAFS_CHECK(from_display->display() == name.display());
  OLLAMAFS_CHECK((*from_display == name) == name.is_canonical());
  if (is_public) {
    OLLAMAFS_CHECK(folded(from_display->logical_name()) == folded(name.logical_name()));
  }
  check_view_name(name.display());
  check_view_name(name.full());
}

void check(std::string_view text) {
  const Parts typed = typed_parts(text);
  const auto name = ModelName::parse(text);
  OLLAMAFS_CHECK_FOR(name.has_value() == in_grammar(typed), text);
  if (name) {
    OLLAMAFS_CHECK_FOR(parts_of(*name) == typed, text);
    check_name(*name);
  }

  // The same text as the four directory levels of either tree.
  const std::vector<std::string> levels = split(text, '/');
  if (levels.size() == 4) {
    const Parts parts{levels[0], levels[1], levels[2], levels[3]};
    const auto v1 = ModelName::from_parts(parts[0], parts[1], parts[2], parts[3]);
    OLLAMAFS_CHECK_FOR(v1.has_value() == in_grammar(parts), text);
    if (v1) {
      OLLAMAFS_CHECK(parts_of(*v1) == parts);
      check_name(*v1);
    }
    const auto v2 = ModelName::from_v2_parts(parts[0], parts[1], parts[2], parts[3]);
    const Parts decoded = decoded_v2_parts(parts);
    OLLAMAFS_CHECK_FOR(v2.has_value() == in_grammar(decoded), text);
    if (v2) {
      OLLAMAFS_CHECK_FOR(parts_of(*v2) == decoded, text);
      check_name(*v2);
    }
    if (v1) OLLAMAFS_CHECK(v2 && v2->logical_name() == v1->logical_name());
  }

  (void)view_name(text);  // any text: it comes from `list` as well
}

}  // namespace
}  // namespace ollamafs::test

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  ollamafs::test::check(ollamafs::test::as_text(data, size));
  return 0;
}
