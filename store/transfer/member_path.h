#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "store/catalog/tag_tree.h"
#include "store/model/digest.h"
#include "store/model/model_name.h"

namespace ollamafs {

// What a path in an archive or below a folder is, whatever folders lead to it: a blob, the entry of
// a tag in one of the two trees, or nothing that a store has.
struct MemberPath {
  std::optional<Digest> blob;      // "blobs/sha256-…", also with a colon
  std::optional<ModelName> model;  // "manifests/HOST/NAMESPACE/MODEL/TAG"
  TreeKind tree = TreeKind::v1;    // of `model`
};

// Reads a path. A host's colon may be written "%3A" in either tree, as by programs for systems that
// take no colon.
[[nodiscard]] MemberPath read_member_path(std::string_view path);

// Whether a path leads out of the folder in which it is unpacked: it is absolute or has a ".." in
// it.
[[nodiscard]] bool leads_out(std::string_view path) noexcept;

// The manifest blob to which the symlink of a v2 tag leads, if it leads where Ollama's own do
// (docs/store-format.md §3.2).
[[nodiscard]] std::optional<Digest> manifest_behind(std::string_view link_target) noexcept;

// Whether it is the tag that GGUF conversion leaves behind, which is no model.
[[nodiscard]] bool is_shadow_tag(const ModelName& name);

}  // namespace ollamafs
