#pragma once

#include <optional>
#include <string_view>
#include <variant>

#include "store/model/manifest.h"

namespace ollamafs::test {

struct NotAManifest {};

using Expected = std::variant<NotAManifest, Manifest, ManifestList>;

// What parse_manifest must make of `json`, found out by building the whole document and looking
// fields up in it; parse_manifest reads events. Nothing where that would not be the same question:
// objects that have a key twice, in whatever case, which a document does not keep apart.
[[nodiscard]] std::optional<Expected> expected_manifest(std::string_view json);

}  // namespace ollamafs::test
