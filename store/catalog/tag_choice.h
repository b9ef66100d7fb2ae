#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "store/catalog/tag_reader.h"
#include "store/catalog/tag_tree.h"
#include "store/model/problem.h"

namespace ollamafs {

// The tags that Ollama takes for one model: they have one logical name.
struct NameTags {
  std::optional<Tag> v2;  // of several spellings of its host, the one that counts
  std::vector<Tag> v1;    // several: they spell the public host in different ways
};

// By logical name (ModelName::logical_name).
using TagsByName = std::map<std::string, NameTags>;

// Puts tags of one name together. A v2 tag that another spelling of the same name hides is left
// out, and a problem; so is a symlink to a directory, if there is another.
[[nodiscard]] TagsByName group_by_name(std::vector<Tag> v1, std::vector<Tag> v2,
                                       const TagReader& reader, std::vector<Problem>& problems);

// A tag that counts, and what it leads to.
struct ChosenTag {
  const Tag* tag;  // of the NameTags
  TagResult result;
};

// Reads the tags of a name that Ollama looks at, which are those of the v2 tree; only if there is
// none there, or nothing but a dangling symlink, those of the v1 tree (docs/store-format.md §3.2).
// A v2 tag that is passed over is a problem. Throws as TagReader::read.
[[nodiscard]] std::vector<ChosenTag> read_chosen(const NameTags& tags, TagReader& reader,
                                                 std::vector<Problem>& problems);

}  // namespace ollamafs
