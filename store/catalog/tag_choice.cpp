#include "store/catalog/tag_choice.h"

#include <fmt/format.h>

#include <utility>

#include "store/base/text.h"

namespace ollamafs {
namespace {

// Hosts can be spelled in several ways in the v2 tree; the folder that Ollama itself would write is
// the one that it reads.
void add_v2(NameTags& tags, Tag tag, const TagReader& reader, std::vector<Problem>& problems) {
  if (!tags.v2) {
    tags.v2 = std::move(tag);
    return;
  }
  if (tag.path == std::string{tree_folder(TreeKind::v2)} + "/" + tag.name.v2_path()) {
    std::swap(*tags.v2, tag);
  }
  if (reader.leads_to_directory(tags.v2->path)) {
    std::swap(*tags.v2, tag);
    problems.push_back({ProblemKind::directory, {}, tag.path, kDirectoryForManifest});
  } else {
    problems.push_back(
        {ProblemKind::hidden,
         {},
         tag.path,
         fmt::format("is hidden by {}, which stands for the same name", printable(tags.v2->path))});
  }
}

}  // namespace

TagsByName group_by_name(std::vector<Tag> v1, std::vector<Tag> v2, const TagReader& reader,
                         std::vector<Problem>& problems) {
  TagsByName by_name;
  for (Tag& tag : v1) by_name[tag.name.logical_name()].v1.push_back(std::move(tag));
  for (Tag& tag : v2) {
    NameTags& tags = by_name[tag.name.logical_name()];
    add_v2(tags, std::move(tag), reader, problems);
  }
  return by_name;
}

std::vector<ChosenTag> read_chosen(const NameTags& tags, TagReader& reader,
                                   std::vector<Problem>& problems) {
  std::vector<ChosenTag> chosen;
  if (tags.v2) {
    TagResult result = reader.read(*tags.v2);
    const auto* failure = std::get_if<TagFailure>(&result);
    const bool is_none = failure && (failure->is_missing() || failure->is_directory());
    if (!is_none || tags.v1.empty()) {
      chosen.push_back({&*tags.v2, std::move(result)});
      return chosen;
    }
    problems.push_back(failure->is_directory()
                           ? Problem{failure->kind, {}, tags.v2->path, failure->text}
                           : Problem{ProblemKind::passed_over, failure->blob, tags.v2->path,
                                     fmt::format("is passed over for {}: {}", tags.v1.front().path,
                                                 failure->text)});
  }
  for (const Tag& tag : tags.v1) chosen.push_back({&tag, reader.read(tag)});
  return chosen;
}

}  // namespace ollamafs
